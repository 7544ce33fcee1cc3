package config

import "testing"

func TestMySQL(t *testing.T) {
	const main = "/etc/mysql/my.cnf"
	for _, test := range []struct {
		name string
		in   files
		want []string
	}{
		{"Debian", files{main: "[client-server]\nport = 1\n[client]\nport = 3307\n!includedir /etc/mysql/mariadb.conf.d/\n",
			"/etc/mysql/mariadb.conf.d/50-server.cnf": "[server]\n[mysqld]\n#port = 3306\nbind-address            = 127.0.0.1 # loopback\nsocket = /run/mysqld/mysqld.sock\n[embedded]\nport = 9\n"},
			[]string{"tcp 127.0.0.1:3306 50-server.cnf:4", "unix /run/mysqld/mysqld.sock 50-server.cnf:5", "off tcp *:3306 50-server.cnf:3"}},
		{"underscores, versions", files{main: "[mysqld-8.0]\nbind_address=*,10.0.0.1\nPORT=3399\n"},
			[]string{"tcp *:3399 my.cnf:3", "tcp *:3399 my.cnf:2", "tcp 10.0.0.1:3399 my.cnf:3", "tcp 10.0.0.1:3399 my.cnf:2"}},
		{"no networking", files{main: "[mysqld]\nskip-networking\nport=3306\n"}, []string{"off tcp *:3306 my.cnf:3", "off tcp *:3306 my.cnf:2"}},
		{"networking after all", files{main: "[mysqld]\nskip-networking=0\nport=3306\n"}, []string{"tcp *:3306 my.cnf:3"}},
		{"bad", files{main: "port=1\n[mysqldump]\nport=2\n[mysqld-safe]\nport=3\n[mysqld\nport=x\n[mysqld]\n;port=4\nport=99999\nbind-address=\n"}, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, MySQL(test.in.file(main), test.in.reader), test.want...) })
	}
}

func TestMySQLProgram(t *testing.T) {
	f := files{"/etc/mysql/my.cnf": "!include mariadb.cnf\n", "/etc/mysql/mariadb.cnf": "[mariadb]\nport=3310\n"}
	claims := MySQL(f.file("/etc/mysql/my.cnf"), f.reader)
	if len(claims) != 1 || claims[0].Program != "mariadb" || claims[0].Unit != "mariadb.service" {
		t.Errorf("%+v", claims)
	}
}

func FuzzMySQL(f *testing.F) {
	fuzzReader(f, KindMySQL, "[mysqld]\nport=1\n#port=2\nbind-address=a,b\nsocket=/x\nskip-networking\n!include y\n!includedir z", "[mysqld\n!includedir")
}
