// Table: words that name nobody in particular.

package redact

import "strings"

// plainWords are names that hosts, containers, units and users share all over
// the world, and words with a meaning in what is read: replacing them would hide
// what a report is about and no person. They are not replaced where they stand
// for themselves, nor looked for in texts.
const plainWords = `
localhost localdomain local lan home internal intranet corp localnet ip6-localhost ip6-loopback ip6-localnet ip6-mcastprefix ip6-allnodes ip6-allrouters
broadcasthost gateway router host hosts docker kubernetes containers arpa in-addr ip6 com org net edu gov mil int io dev app test example invalid onion
www web mail smtp imap pop pop3 ftp ns ns1 ns2 dns mx db sql api app apps web1 web2 db1 db2 app1 app2 node node1 node2 node3 server server1 client client1 master worker
primary secondary replica standby leader follower main default bridge none any all self nat dhcp proxy cache queue broker gateway lb edge front frontend back backend admin
static assets media cdn auth sso login vpn git ci build registry repo staging stage prod production test testing qa uat demo sandbox dev devel development live
blue green red black white left right up down in out on off a b c x y z one two three first second
root daemon bin sys sync games man lp news uucp www-data backup list irc gnats nobody systemd-network systemd-resolve systemd-timesync systemd-coredump
messagebus sshd _apt syslog uuidd tcpdump tss landscape pollinate usbmux dnsmasq avahi avahi-autoipd colord cups-pk-helper geoclue pulse rtkit saned speech-dispatcher
whoopsie kernoops hplip gdm lightdm sddm nm-openvpn nm-openconnect ntp ntpd chrony _chrony openntpd postfix postdrop dovecot dovenull exim Debian-exim debian-exim opendkim
opendmarc clamav spamd amavis mysql mariadb postgres postgresql pgbouncer pgpool redis redis-server valkey keydb memcache memcached mongodb mongod mongo couchdb rabbitmq
elasticsearch opensearch logstash kibana filebeat metricbeat influxdb grafana prometheus node-exporter node_exporter alertmanager loki promtail telegraf collectd statsd
zabbix nagios icinga munin netdata cassandra kafka zookeeper nats etcd consul vault nomad haproxy nginx apache apache2 httpd lighttpd caddy traefik envoy varnish squid tomcat
jetty wildfly node nodejs npm yarn deno bun java javac python python2 python3 pip perl ruby puma unicorn gunicorn uwsgi uvicorn php php-fpm fpm dotnet kestrel go golang rust
cargo erlang beam beam.smp elixir bash sh dash zsh fish busybox ash sleep cat tail tini dumb-init init systemd systemd-journald systemd-logind systemd-networkd systemd-resolved
systemd-timesyncd systemd-udevd udev udevd dbus dbus-daemon polkit polkitd cron crond atd anacron rsyslog rsyslogd syslogd klogd journald logind getty agetty login su sudo ssh
sshd scp sftp rsync telnet vsftpd proftpd pure-ftpd nfs nfsd rpcbind rpc.statd samba smbd nmbd winbind cups cupsd bluetooth bluetoothd NetworkManager networkmanager
wpa_supplicant dhclient dhcpcd udhcpc dhcpd isc-dhcp-server bind named unbound pdns powerdns knot dnsdist coredns resolved stubby dnscrypt-proxy ntpsec openvpn wireguard wg wg0
wg-quick strongswan charon ipsec tailscale tailscaled zerotier cloudflared ngrok tor i2p stunnel socat nc ncat netcat curl wget lynx openssl gpg certbot nftables nft
iptables ip6tables iptables-restore ipset ebtables arptables firewalld ufw fail2ban crowdsec shorewall apf csf docker dockerd docker-proxy containerd containerd-shim
containerd-shim-runc-v2 runc crun podman conmon rootlessport slirp4netns pasta netavark aardvark-dns buildah cri-o kubelet kube-proxy kube-apiserver kube-scheduler
kube-controller-manager flannel calico cilium weave metallb istio linkerd lxc lxd incus libvirt libvirtd virtlogd qemu kvm xen virtualbox vagrant compose docker-compose
supervisor supervisord s6 runit openrc upstart monit pm2 forever ansible puppet chef salt terraform packer git gitea gitlab github gogs jenkins hudson drone woodpecker
teamcity nexus artifactory harbor sonarqube jira confluence mattermost rocketchat nextcloud owncloud wordpress drupal joomla moodle mediawiki ghost adminer phpmyadmin
pgadmin portainer keycloak authelia authentik minio ceph gluster glusterfs openldap slapd ldap nslcd sssd kerberos krb5kdc kadmin freeipa radius freeradius asterisk
freeswitch coturn turnserver mosquitto emqx homeassistant pihole adguard plex jellyfin emby sonarr radarr transmission qbittorrent syncthing duplicati restic borg
postmaster hostmaster webmaster ubuntu debian fedora centos rhel rocky alma alpine arch gentoo suse opensuse amazon linux ec2-user admin administrator guest user users
operator service system nogroup pi vagrant portwhy
tcp udp icmp icmpv6 ip ip4 ipv4 ipv6 inet inet6 sctp dccp udplite gre esp ah http http2 http3 https ws wss ssl tls quic grpc rpc unix unixgram stream dgram socket listen listener
port ports addr address bind connect accept drop reject return continue queue jump goto log limit counter masquerade snat dnat redirect tproxy mark ct state new established
related invalid untracked input output forward prerouting postrouting ingress egress filter mangle raw security nat chain table set map rule rules policy hook priority type
flags elements interval timeout constant dynamic comment interface zone zones public private external dmz work block trusted drop home internal source destination dport sport saddr
daddr iif oif iifname oifname meta lo eth0 eth1 ens3 enp0s3 wlan0 docker0 br0 virbr0 tun0 tap0 bond0 veth dummy0 vlan allow deny enable disable enabled disabled yes no true false
file path dir directory config conf etc usr var run lib opt srv mnt media home root tmp dev proc sys boot sbin share local cache spool log logs data html htdocs sites sites-available
sites-enabled conf.d modules mods include includes snippets default.conf nginx.conf httpd.conf sshd_config ssh_config redis.conf postgresql.conf pg_hba.conf my.cnf haproxy.cfg
server location upstream virtualhost servername server_name listen_addresses proxy_pass root index error access mode name names key keys value values id ids pid uid gid user
group level debug info warn warning notice fatal trace verbose quiet daemonize foreground background start stop restart reload status version help
kernel process processes thread session sessions slice scope target timer mount automount swap device devices online wait
svc job jobs task tasks cron-job scheduler sched monitor monitoring metrics exporter agent agents probe health healthcheck backup backups
mysqld mysqld_safe mariadbd ndbd exim4 sendmail opensmtpd master qmgr pickup anvil log imap-login pop3-login managesieve
apt daily upgrade e2scrub fstrim logrotate dpkg phpsessionclean unattended upgrades motd multipathd snapd lvm2 blk availability apparmor auditd irqbalance smartd thermald
acpid keyboard setup console ifup networking resolvconf rc emergency rescue serial quotaon plymouth runtime modprobe kmod nodes sysctl tmpfiles remount fs random seed hwdb
update utmp journal flush catalog firstboot machine commit userdbd homed portabled importd machined oomd reap all fsck initctl logind ask dmesg swap volumes save load
udisks2 upower accounts accounts-daemon packagekit fwupd modemmanager switcheroo power profiles iscsid iscsi open targets nfs server client blkmap idmapd gssd mountd statd
walinuxagent cloud cloud-init final qemu guest vmtoolsd vgauth hv kvp vss fcopy chronyd tuned firewall netfilter persistent dropbear inetd xinetd tftpd distccd git daemon
user1 user2 container container1 image images network networks volume volumes project projects
`

// plain holds the words in lower case.
func plain() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(plainWords) {
		words[lowered(word)] = true
	}
	return words
}
