package redact

import (
	"strings"
	"testing"
)

func testRedactor() *Redactor { return New(All, make([]byte, KeySize)) }

// A secret is written in «» and is to be gone; everything else is to stay.
func TestSecretsInTexts(t *testing.T) {
	for _, marked := range []string{
		"requirepass «hunter2hunter»",
		"password=«s3cr3t!»",
		"password: «s3cr3t!»",
		`"password": "«with space»",`,
		`password = '«it is; long»'`,
		"redis://:«p4ssw0rd»@cache:6379/0",
		"postgres://app:«p@ss/word»@db:5432/x",
		"url=http://a:«b1»@c,http://d:«e2»@f",
		"root:«hunter2»@tcp(db:3306)/shop",
		"https://«0123456789abcdefghij»@git/x.git",
		"GET /x?user=joe&token=«abc123»&page=2",
		"Authorization: Bearer «abc.def.ghi»",
		"Authorization: Basic «am9lOmh1bnRlcjI=»",
		"Set-Cookie: «sid=abc; Path=/; HttpOnly»",
		"curl -H 'X-Api-Key: «0a1b2c»' http://db/",
		"host=db port=5432 user=app password=«x7!y»",
		"Server=db;Uid=app;Pwd=«q1w2e3»;Database=x",
		"export DB_PASSWORD=«changeme2»",
		"masterauth «hunter2»",
		"user default on >x +@all password «Tr0ub4dor»",
		"token «ghp_0123456789abcdefghijABCDEFGHIJ456789»",
		"/etc/x/«ghp_0123456789abcdefghijABCDEFGHIJ456789»/y",
		"key AKIAIOSFODNN7EXAMPL is not one, «AKIAIOSFODNN7EXAMPLE» is",
		"«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl»",
		"PrivateKey = «yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»",
		"wg yAnz, «yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=»",
		"-----BEGIN CERTIFICATE-----\nstays\n-----END CERTIFICATE-----",
		"a «-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----» b",
		"a «-----BEGIN PRIVATE KEY-----\nMIIBno end",
		"id «0123456789abcdef0123456789abcdef»",
		"id «550e8400-e29b-41d4-a716-446655440000»",
		"auth_pass «k33palive»",
		// What stays.
		"password authentication failed for user",
		"PasswordAuthentication yes",
		"PermitRootLogin prohibit-password",
		"ssl_certificate_key /etc/ssl/private/site.key;",
		"POSTGRES_PASSWORD_FILE=/run/secrets/pg",
		"token expired",
		"auth required pam_unix.so",
		"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
		"nginx: worker process is shutting down",
		"/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0",
		"systemd-networkd-wait-online.service",
		"tcp dport 8080 accept comment \"allow 8080 from lan\"",
		"listen 8080 default_server;",
		"password $DB_PASSWORD ${OTHER}",
		"AbstractSingletonProxyFactoryBean2",
		"/usr/bin/containerd-shim-runc-v2 -namespace moby",
		"2026-11-29T21:43:23.123456Z",
		"-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
	} {
		plain := strings.NewReplacer("«", "", "»", "").Replace(marked)
		r := New(Secrets, make([]byte, KeySize))
		var want strings.Builder
		rest := marked
		for {
			before, after, ok := strings.Cut(rest, "«")
			want.WriteString(before)
			if !ok {
				break
			}
			secret, behind, closed := strings.Cut(after, "»")
			want.WriteString(r.instead(secret))
			if rest = behind; !closed {
				break
			}
		}
		if got := r.Text(plain); got != want.String() {
			t.Errorf("%q\nbecame %q\nwant   %q", plain, got, want.String())
		}
	}
}

func TestSecretsInCommandLines(t *testing.T) {
	for _, marked := range []string{
		"mysql -u root -p«hunter2» shop", "redis-cli -a «hunter2» ping", "sshpass -p «hunter2» ssh db", "app --password «hunter2» --port 80",
		"app --password=«hunter2»", "app --api-key «0a1b2c»", "curl -u joe:«hunter2» http://db/", "env PGPASSWORD=«hunter2» psql",
		"sh -c|mysql -p«hunter2» shop", "docker login -u joe -p «hunter2» db", "openssl rsa -passin pass:«hunter2»", "java -Ddb.password=«hunter2» -jar x.jar",
		"ldapsearch -w «hunter2» -x", "smbclient -U joe%«hunter2» //db/x", "snmpwalk -v2c -c «hunter2» db", "app --secret-key «-dash-first»",
		"pppd user joe password «hunter2»", "ssh-keygen -N «hunter2» -f x", "app password reset",
		"mysql -p shop", "ssh -p 2222 db", "nc -l -p 8080", "docker run -p 80:80 nginx", "app --token-file /run/secrets/t", "app --auth-mode md5", "psql -p 5432",
		"app --password --port 80", "nginx -c /etc/nginx/nginx.conf",
	} {
		plain := strings.NewReplacer("«", "", "»", "").Replace(marked)
		split := func(s string) []string {
			if head, script, ok := strings.Cut(s, "|"); ok {
				return append(strings.Fields(head), script)
			}
			return strings.Fields(s)
		}
		args, want := split(plain), split(marked)
		r := New(Secrets, make([]byte, KeySize))
		for i, list := range r.finder.arguments(args) {
			got := r.rewrite(args[i], list)
			if before, after, ok := strings.Cut(want[i], "«"); ok {
				secret, behind, _ := strings.Cut(after, "»")
				want[i] = before + r.instead(secret) + behind
			}
			if got != want[i] {
				t.Errorf("%s: argument %q became %q, want %q", plain, args[i], got, want[i])
			}
		}
	}
}

func TestAddressesInTexts(t *testing.T) {
	r := testRedactor()
	map4 := func(s string) string { return r.host(s) }
	for _, c := range []struct{ in, want string }{
		{"listen 10.1.2.3:80;", "listen " + map4("10.1.2.3") + ":80;"},
		{"from 10.1.2.3.", "from " + map4("10.1.2.3") + "."},
		{"[fd00::5]:80", "[" + map4("fd00::5") + "]:80"},
		{"fd00::5%eth0", map4("fd00::5") + "%eth0"},
		{"127.0.0.1:80 ::1 0.0.0.0 ::", "127.0.0.1:80 ::1 0.0.0.0 ::"},
		{"dhcp-10-1-2-3.lan", "dhcp-" + strings.ReplaceAll(map4("10.1.2.3"), ".", "-") + ".lan"},
		{"version 1.2.3 of 1.2.3.4.5", "version 1.2.3 of 1.2.3.4.5"},
		{"12:30:45 std::cout a::", "12:30:45 std::cout a::"},
		{"10.1.0.0/16", strings.TrimSuffix(r.addresses.prefix(prefixOf("10.1.0.0/16")).String(), "")},
	} {
		if got := r.Text(c.in); got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
	if got := r.Text("10.1.2.3"); got == "10.1.2.3" {
		t.Error("an address stayed")
	}
}

// A secret that was found once goes everywhere, in every usual form.
func TestFoundOnceGoneEverywhere(t *testing.T) {
	r := testRedactor()
	const secret = "c0rrect-h0rse/battery"
	r.seeSecrets("password="+secret, []found{{9, 9 + len(secret), byName}})
	r.prepare()
	for _, form := range encodings(secret) {
		if got := r.Text("x " + form + " y"); strings.Contains(got, form) {
			t.Errorf("%q became %q", form, got)
		}
	}
	if len(encodings(secret)) < 6 {
		t.Errorf("only %d forms", len(encodings(secret)))
	}
}
