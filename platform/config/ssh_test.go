package config

import "testing"

func TestSSH(t *testing.T) {
	const main = "/etc/ssh/sshd_config"
	for _, test := range []struct {
		name string
		in   files
		want []string
	}{
		{"default", files{main: "Include /etc/ssh/sshd_config.d/*.conf\n#Port 22\n#ListenAddress 0.0.0.0\n# Port 22 is the default here\n"}, []string{"off tcp *:22 sshd_config:2"}},
		{"port in a drop-in", files{main: "Include sshd_config.d/*.conf\nPort 22\n", "/etc/ssh/sshd_config.d/a.conf": "port=2222\n"},
			[]string{"tcp *:2222 a.conf:1", "tcp *:22 sshd_config:2"}},
		{"address without port", files{main: "ListenAddress 10.0.0.1\nListenAddress ::1\n"}, []string{"tcp 10.0.0.1:22 sshd_config:1", "tcp ::1:22 sshd_config:2"}},
		{"address and port", files{main: "Port 2022\nListenAddress 10.0.0.1\n"}, []string{"tcp 10.0.0.1:2022 sshd_config:1", "tcp 10.0.0.1:2022 sshd_config:2"}},
		{"addresses with ports", files{main: "Port 2022\nListenAddress [::1]:23\nListenAddress 10.0.0.1:24\n"},
			[]string{"tcp ::1:23 sshd_config:2", "tcp 10.0.0.1:24 sshd_config:3", "off tcp *:2022 sshd_config:1"}},
		{"match ends it", files{main: "Port 22\nMatch User bob\nPort 23\nListenAddress 1.2.3.4\nInclude x\n", "/etc/ssh/x": "Port 24"}, []string{"tcp *:22 sshd_config:1"}},
		{"quoted", files{main: "Port \"2222\"\n"}, []string{"tcp *:2222 sshd_config:1"}},
		{"no port", files{main: "Port\nPort x\nPort 70000\nPort 0\nPort -1\nListenAddress\nListenAddress a:b:c\n"}, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, SSH(test.in.file(main), test.in.reader), test.want...) })
	}
}

func FuzzSSH(f *testing.F) {
	fuzzReader(f, KindSSH, "Include *\nPort 22\n#Port 23\nListenAddress ::\nMatch all\nPort 1", "Port=1\nListenAddress=[::1]:2", "Port \"")
}
