//go:build linux

package linux

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// maxVirtual bounds how many services and servers are read.
const maxVirtual = 1 << 16

var errVirtual = errors.New("unexpected line")

// VirtualServices reads /proc/net/ip_vs. Opening it loads nothing: it is there if
// IPVS is.
func (h *Host) VirtualServices(context.Context) (list []host.VirtualService, err error) {
	err = h.inNamespace(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/ip_vs")
		if errors.Is(err, fs.ErrNotExist) {
			return host.ErrUnsupported
		}
		if err != nil {
			return err
		}
		list, err = parseVirtual(b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the services of IPVS: %w", err)
	}
	return list, nil
}

// parseVirtual reads what ip_vs_info_seq_show of net/netfilter/ipvs/ip_vs_ctl.c
// writes: a line for each service, and one for each of its servers below.
func parseVirtual(b []byte) (list []host.VirtualService, err error) {
	read := 0
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) < 2 || f[0] == "IP" || f[0] == "Prot" || f[1] == "RemoteAddress:Port" {
			continue
		}
		if read++; read > maxVirtual {
			return nil, fmt.Errorf("more than %d lines", maxVirtual)
		}
		bad := func() error { return fmt.Errorf("%w %q", errVirtual, host.Clean(line, 80)) }
		if f[0] == "->" {
			if len(list) == 0 || len(f) < 4 {
				return nil, bad()
			}
			at, ok := virtualAddress(f[1])
			weight, err := strconv.Atoi(f[3])
			if !ok || err != nil {
				return nil, bad()
			}
			last := &list[len(list)-1]
			last.Servers = append(last.Servers, host.RealServer{Address: at, Forward: clean(f[2], 16), Weight: weight})
			continue
		}
		s := host.VirtualService{}
		if len(f) > 2 {
			s.Scheduler = clean(f[2], 32)
		}
		ok := false
		switch f[0] {
		case "TCP", "UDP", "SCTP":
			s.Network = strings.ToLower(f[0])
			s.Address, ok = virtualAddress(f[1])
		case "FWM":
			mark, err := strconv.ParseUint(f[1], 16, 32)
			s.Mark, ok = uint32(mark), err == nil
		}
		if !ok {
			return nil, bad()
		}
		list = append(list, s)
	}
	return list, nil
}

// virtualAddress reads C0A80001:0050, or [ADDRESS]:0050 of IPv6.
func virtualAddress(s string) (netip.AddrPort, bool) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(s[at+1:], 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	if in, ok := strings.CutPrefix(s[:at], "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(in, "]"))
		return netip.AddrPortFrom(a, uint16(port)), err == nil && a.Zone() == ""
	}
	b, err := hex.DecodeString(s[:at])
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(port)), err == nil && ok && a.Is4()
}
