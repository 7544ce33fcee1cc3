package config

import "testing"

func TestPostgreSQL(t *testing.T) {
	const main = "/etc/postgresql/15/main/postgresql.conf"
	for _, test := range []struct {
		name string
		in   files
		want []string
	}{
		{"Debian", files{main: "data_directory = '/var/lib/postgresql/15/main'\n#listen_addresses = 'localhost'\t\t# what IP address(es) to listen on;\n\t\t\t\t\t# comma-separated\nport = 5433\t\t\t\t# (change requires restart)\ninclude_dir = 'conf.d'\n"},
			[]string{"tcp localhost:5433 postgresql.conf:4", "off tcp localhost:5433 postgresql.conf:2"}},
		{"all default", files{main: "#port = 5432\n#listen_addresses = 'localhost'\n"}, []string{"off tcp localhost:5432 postgresql.conf:1", "off tcp localhost:5432 postgresql.conf:2"}},
		{"last wins", files{main: "port = 5433\ninclude_dir = 'conf.d'\n", "/etc/postgresql/15/main/conf.d/a.conf": "PORT 5434\nlisten_addresses = '*'\n"},
			[]string{"tcp *:5434 a.conf:1", "tcp *:5434 a.conf:2"}},
		{"ALTER SYSTEM", files{main: "data_directory = '/data'\nport = 1\n", "/data/postgresql.auto.conf": "port = '5999'\n"}, []string{"tcp localhost:5999 postgresql.auto.conf:1"}},
		{"unix only", files{main: "listen_addresses = ''\nport=5433\nunix_socket_directories = '/tmp, /run/pg'\n"},
			[]string{"unix /tmp/.s.PGSQL.5433 postgresql.conf:1", "unix /run/pg/.s.PGSQL.5433 postgresql.conf:1"}},
		{"several addresses", files{main: "listen_addresses = '10.0.0.1,::1'\n"}, []string{"tcp 10.0.0.1:5432 postgresql.conf:1", "tcp ::1:5432 postgresql.conf:1"}},
		{"quotes", files{main: "listen_addresses = 'it''s'\n"}, []string{"tcp it's:5432 postgresql.conf:1"}},
		{"bad", files{main: "port\nport =\nport = x y\nport = 'unclosed\n= 3\nport = 70000\n"}, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, PostgreSQL(test.in.file(main), test.in.reader), test.want...) })
	}
	if claims := PostgreSQL(File{Path: main, Data: []byte("port=1")}, nil); claims[0].Unit != "postgresql@15-main.service" {
		t.Errorf("unit is %q", claims[0].Unit)
	}
	if claims := PostgreSQL(File{Path: "/srv/pg/postgresql.conf", Data: []byte("port=1")}, nil); claims[0].Unit != "postgresql.service" {
		t.Errorf("unit is %q", claims[0].Unit)
	}
}

func FuzzPostgreSQL(f *testing.F) {
	fuzzReader(f, KindPostgreSQL, "port = 5433 # x\nlisten_addresses = 'a,b'\n#port = 1\ninclude 'x'", "listen_addresses=''\nunix_socket_directories='/a,/b'", "port 'a\\", "data_directory='/x'\ninclude_dir=''")
}
