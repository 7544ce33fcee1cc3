package config

import "testing"

const apachePorts = `# If you just change the port or add more ports here
Listen 80

<IfModule ssl_module>
	Listen 443
</IfModule>
<IfModule !mod_gnutls.c>
	Listen 0.0.0.0:8443 https
</IfModule>
<IfDefine DEBUG>
	Listen 9999
</IfDefine>
#Listen 8888
Listen [::1]:81
Listen \
  82
Listen ${PORT}
Listen
Listen 0
`

func TestApache(t *testing.T) {
	f := files{
		"/etc/apache2/apache2.conf":               "ServerRoot \"/etc/apache2\"\nIncludeOptional mods-enabled/*.load\nInclude ports.conf\nIncludeOptional sites-enabled/*.conf\n",
		"/etc/apache2/ports.conf":                 apachePorts,
		"/etc/apache2/mods-enabled/ssl.load":      "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n",
		"/etc/apache2/sites-enabled/000-def.conf": "<VirtualHost *:80>\n</VirtualHost>\n<VirtualHost *:8080 [::]:8081>\n</VirtualHost>\n<VirtualHost _default_>\n</VirtualHost>",
	}
	expect(t, Apache(f.file("/etc/apache2/apache2.conf"), f.reader, "/etc/apache2"),
		"tcp *:80 ports.conf:2", "tcp *:443 ports.conf:5", "tcp 0.0.0.0:8443 ports.conf:8", "off tcp *:9999 ports.conf:11",
		"off tcp *:8888 ports.conf:13", "tcp ::1:81 ports.conf:14", "tcp *:82 ports.conf:15",
		"off tcp *:8080 000-def.conf:3", "off tcp :::8081 000-def.conf:3")
	delete(f, "/etc/apache2/mods-enabled/ssl.load")
	claims := Apache(f.file("/etc/apache2/apache2.conf"), f.reader, "/etc/apache2")
	if !claims[1].Disabled || claims[1].Port != 443 {
		t.Errorf("without the module: %+v", claims[1])
	}
}

func TestApacheUnit(t *testing.T) {
	claims := Apache(File{Path: "/etc/httpd/conf/httpd.conf", Data: []byte("Listen 80")}, nil, "/etc/httpd")
	if len(claims) != 1 || claims[0].Unit != "httpd.service" {
		t.Errorf("%+v", claims)
	}
	expect(t, ApacheSite(File{Path: "/etc/apache2/sites-available/x.conf", Data: []byte("Listen 83\n<VirtualHost *:84>")}), "off tcp *:83 x.conf:1", "off tcp *:84 x.conf:2")
}

func FuzzApache(f *testing.F) {
	fuzzReader(f, KindApache, apachePorts, "<VirtualHost *:1 *:2>\n</If\nInclude x", "Listen \\\n\\\n1", "ServerRoot ../\nInclude ../../*")
}
