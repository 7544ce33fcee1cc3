package xtables

import "strings"

// matches and targets are the extensions that exist: those of
// iptables-extensions(8) and of xtables-addons(8). One that package xt doesn't
// know becomes a rules.Opaque; a name that is not here is a mistake.
var (
	matches = names(`addrtype ah bpf cgroup cluster comment connbytes connlabel connlimit connmark conntrack cpu
		dccp devgroup dscp dst ecn esp eui64 frag hashlimit hbh helper hl icmp icmp6 ipcomp iprange ipv6header ipvs
		length limit mac mark mh multiport nfacct osf owner physdev pkttype policy quota rateest realm recent
		rpfilter rt sctp set socket srh state statistic string tcp tcpmss time tos ttl u32 udp unclean
		account asn condition dhcpmac fuzzy geoip gradm iface ipp2p ipv4options length2 lscan pknock psd quota2`)
	targets = names(`AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK IDLETIMER
		LED LOG MARK MASQUERADE NETMAP NFLOG NFQUEUE NOTRACK RATEEST REDIRECT REJECT SECMARK SET SNAT SNPT SYNPROXY
		TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG MIRROR SAME
		ACCOUNT CHAOS DELUDE DHCPMAC DNETMAP ECHO IPMARK LOGMARK NAT PROTO SYSRQ TARPIT`)
)

func names(list string) map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		m[name] = true
	}
	return m
}
