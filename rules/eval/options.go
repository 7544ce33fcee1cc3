package eval

import "github.com/portwhy/portwhy/rules"

// Options of IPv4 (linux/ip.h).
const (
	optionEnd       = 0
	optionNothing   = 1
	optionRecord    = 7
	optionTimestamp = 68
	optionLoose     = 131
	optionStrict    = 137
	optionAlert     = 148
)

// optionIP finds an option of IPv4 as ipv4_find_option of
// net/netfilter/nft_exthdr.c does, by way of __ip_options_compile of
// net/ipv4/ip_options.c: one that is not well formed hides all others.
func (w *walk) optionIP(kind uint8) (at int, found bool, b *blame) {
	d := w.packet.Data
	if w.hook == rules.Egress {
		return 0, false, &blame{"exthdr", "at egress the kernel takes the link header for that of IP"}
	}
	if len(d) < 20 {
		return 0, false, nil
	}
	end := int(d[0]&15) * 4
	if end > len(d) {
		return 0, false, nil
	}
	var route, record, stamp, alert int
	strict := false
	for i := 20; i < end && d[i] != optionEnd; {
		if d[i] == optionNothing {
			i++
			continue
		}
		if i+2 > end {
			return 0, false, nil
		}
		n := int(d[i+1])
		if n < 2 || i+n > end {
			return 0, false, nil
		}
		switch d[i] {
		case optionStrict, optionLoose:
			if route != 0 || n < 7 || (n-3)%4 != 0 || d[i+2] != 4 {
				return 0, false, nil
			}
			route, strict = i, d[i] == optionStrict
		case optionRecord:
			if record != 0 || n < 3 || d[i+2] < 4 || int(d[i+2]) <= n && int(d[i+2])+3 > n {
				return 0, false, nil
			}
			record = i
		case optionTimestamp:
			switch ok, known := timestampOK(d[i : i+n]); {
			case !known:
				return 0, false, unprivileged()
			case !ok || stamp != 0:
				return 0, false, nil
			}
			stamp = i
		case optionAlert:
			if n < 4 {
				return 0, false, nil
			}
			if d[i+2] == 0 && d[i+3] == 0 {
				alert = i
			}
		default:
			return 0, false, unprivileged()
		}
		i += n
	}
	switch kind {
	case optionStrict, optionLoose:
		return route, route != 0 && strict == (kind == optionStrict), nil
	case optionRecord:
		return record, record != 0, nil
	case optionAlert:
		return alert, alert != 0, nil
	}
	return 0, false, nil
}

func unprivileged() *blame {
	return &blame{"exthdr", "whether the kernel lets an option of IPv4 pass that it doesn't know depends on who runs"}
}

// timestampOK checks an option of timestamps; whether a kind of them that is not
// known passes can't be told.
func timestampOK(o []byte) (ok, known bool) {
	const only, withAddresses, given = 0, 1, 3
	if len(o) < 4 || o[2] < 5 {
		return false, true
	}
	next := int(o[2])
	if next > len(o) {
		return o[3]&15 == given || o[3]>>4 != 15, true
	}
	if next+3 > len(o) {
		return false, true
	}
	switch o[3] & 15 {
	case only:
		return true, true
	case withAddresses, given:
		return next+7 <= len(o), true
	}
	return false, false
}

// dccpOption reports whether DCCP has an option (nft_exthdr_dccp_eval).
func (p *Packet) dccpOption(kind uint8) bool {
	offset, protocol, _, header := p.upper()
	if !header || protocol != protocolDCCP || offset+12 > len(p.Data) {
		return false
	}
	h := p.Data[offset:]
	start := 12
	if h[8]&1 != 0 { // a long sequence number
		start += 4
	}
	switch h[8] >> 1 & 15 { // dccp_packet_hdr_len
	case 0: // request
		start += 4
	case 2: // data
	case 3, 4, 5, 6, 8, 9: // ack, data and ack, close request, close, sync, and its ack
		start += 8
	default: // response, reset
		start += 12
	}
	const longest = 31 // DCCPO_MAX_RESERVED: these have a single byte
	for i, end := start, int(h[4])*4; i < end; {
		if i+min(2, end-i) > len(h) {
			return false
		}
		switch {
		case h[i] == kind:
			return true
		case h[i] <= longest:
			i++
		case i+2 > end || h[i+1] < 2:
			return false
		default:
			i += int(h[i+1])
		}
	}
	return false
}
