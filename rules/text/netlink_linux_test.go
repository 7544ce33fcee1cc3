package text_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// The tests' own reader of nftables: no more than is needed to hand live rules
// to the printer, and independent of the one that the program uses.

type attrs map[uint16][]byte

func parse(b []byte) attrs {
	a := attrs{}
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		a[binary.NativeEndian.Uint16(b[2:])&0x3fff] = b[4:n]
		b = b[min((n+3)&^3, len(b)):]
	}
	return a
}

func each(b []byte, f func([]byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

func (a attrs) u32(k uint16) uint32 {
	if b := a[k]; len(b) >= 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (a attrs) u64(k uint16) uint64 {
	if b := a[k]; len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (a attrs) u16(k uint16) uint16 {
	if b := a[k]; len(b) >= 2 {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (a attrs) u8(k uint16) uint8 {
	if b := a[k]; len(b) >= 1 {
		return b[0]
	}
	return 0
}

func (a attrs) str(k uint16) string { return strings.TrimRight(string(a[k]), "\x00") }
func (a attrs) has(k uint16) bool   { _, ok := a[k]; return ok }
func (a attrs) in(k uint16) attrs   { return parse(a[k]) }
func (a attrs) reg(k uint16) rules.Reg {
	n := a.u32(k)
	if n >= 8 {
		return rules.Reg(n - 8)
	}
	return rules.Reg(4 * (n - 1))
}
func (a attrs) data(k uint16) []byte { return a.in(k)[1] }

func dump(t *testing.T, fd int, msg uint16, family byte, body []byte, f func(byte, attrs)) {
	t.Helper()
	req := make([]byte, 20, 20+len(body))
	binary.NativeEndian.PutUint16(req[4:], 10<<8|msg)
	binary.NativeEndian.PutUint16(req[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
	req[16] = family
	req = append(req, body...)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	if err := syscall.Sendto(fd, req, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<17)
	for {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return
			case syscall.NLMSG_ERROR:
				t.Fatalf("message %d: error %d", msg, int32(binary.NativeEndian.Uint32(m.Data)))
			}
			f(m.Data[0], parse(append([]byte(nil), m.Data[4:]...)))
		}
	}
}

func strAttr(k uint16, s string) []byte {
	b := make([]byte, (4+len(s)+1+3)&^3)
	binary.NativeEndian.PutUint16(b, uint16(4+len(s)+1))
	binary.NativeEndian.PutUint16(b[2:], k)
	copy(b[4:], s)
	return b
}

// live reads the whole ruleset of a namespace.
func live(t *testing.T, netns string) *rules.Ruleset {
	t.Helper()
	out := &rules.Ruleset{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		ns, err := os.Open("/run/netns/" + netns)
		if err != nil {
			t.Error(err)
			return
		}
		defer ns.Close()
		if _, _, e := syscall.RawSyscall(setnsNumber, ns.Fd(), syscall.CLONE_NEWNET, 0); e != 0 {
			t.Error(e)
			return
		}
		fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 12)
		if err != nil {
			t.Error(err)
			return
		}
		defer syscall.Close(fd)
		read(t, fd, out)
	}()
	<-done
	return out
}

func read(t *testing.T, fd int, out *rules.Ruleset) {
	find := func(f byte, name string) *rules.Table {
		for _, x := range out.Tables {
			if x.Name == name && byte(x.Family) == f {
				return x
			}
		}
		t.Fatalf("no table %s", name)
		return nil
	}
	dump(t, fd, 1, 0, nil, func(f byte, a attrs) {
		x := &rules.Table{Family: rules.Family(f), Name: a.str(1), Backend: rules.NFT}
		if a.u32(2)&1 != 0 {
			x.Flags = append(x.Flags, "dormant")
		}
		x.Comment = udata(a[6], 0)
		out.Tables = append(out.Tables, x)
	})
	dump(t, fd, 4, 0, nil, func(f byte, a attrs) {
		x := find(f, a.str(1))
		c := &rules.Chain{Name: a.str(3), Type: a.str(7), Comment: udata(a[12], 0)}
		if a.has(4) {
			h := a.in(4)
			hooks := []rules.Hook{rules.Prerouting, rules.Input, rules.Forward, rules.Output, rules.Postrouting, rules.Ingress}
			switch x.Family {
			case rules.Netdev:
				hooks = []rules.Hook{rules.Ingress, rules.Egress}
			case rules.ARP:
				hooks = []rules.Hook{rules.Input, rules.Output}
			}
			c.Hook, c.Priority = hooks[h.u32(1)], int32(h.u32(2))
			if h.has(3) {
				c.Devices = []string{h.str(3)}
			} else if h.has(4) {
				each(h[4], func(b []byte) { c.Devices = append(c.Devices, strings.TrimRight(string(b), "\x00")) })
			}
		}
		if a.has(5) {
			c.Policy = [...]string{"drop", "accept"}[a.u32(5)&1]
		}
		if a.u32(10)&4 != 0 {
			c.Flags = append(c.Flags, "binding")
		}
		x.Chains = append(x.Chains, c)
	})
	dump(t, fd, 7, 0, nil, func(f byte, a attrs) {
		x := find(f, a.str(1))
		c := x.Chain(a.str(2))
		r := &rules.Rule{Handle: a.u64(3), Comment: udata(a[7], 0)}
		each(a[4], func(b []byte) { r.Exprs = append(r.Exprs, expr(t, b)) })
		c.Rules = append(c.Rules, r)
	})
	dump(t, fd, 10, 0, nil, func(f byte, a attrs) {
		x := find(f, a.str(1))
		fl := a.u32(3)
		s := &rules.Set{Name: a.str(2), Flags: fl &^ 1, KeyType: a.u32(4), KeyLen: int(a.u32(5)), DataType: a.u32(6), DataLen: int(a.u32(7)),
			TimeoutMS: a.u64(11), Anonymous: fl&1 != 0, Interval: fl&4 != 0, Map: fl&8 != 0, Objects: fl&64 != 0, ObjType: a.u32(15),
			Known: true, Size: a.in(9).u32(1), Comment: udata(a[13], 7)}
		s.Verdicts = s.Map && s.DataType == 0xffffff00
		exprs := func(one, many []byte) (all []rules.Expr) {
			if one != nil {
				all = append(all, expr(t, one))
			}
			each(many, func(b []byte) { all = append(all, expr(t, b)) })
			return all
		}
		s.Exprs = exprs(a[17], a[18])
		x.Sets = append(x.Sets, s)
	})
	for _, x := range out.Tables {
		for _, s := range x.Sets {
			dump(t, fd, 13, byte(x.Family), append(strAttr(1, x.Name), strAttr(2, s.Name)...), func(_ byte, a attrs) {
				each(a[3], func(b []byte) {
					e := parse(b)
					el := rules.Element{Key: e.data(1), KeyEnd: e.data(10), End: e.u32(3)&1 != 0, CatchAll: e.u32(3)&2 != 0,
						TimeoutMS: e.u64(4), ExpiresMS: e.u64(5), Comment: udata(e[6], 0), Object: e.str(9)}
					if e.has(7) {
						el.Exprs = append(el.Exprs, expr(t, e[7]))
					}
					each(e[11], func(b []byte) { el.Exprs = append(el.Exprs, expr(t, b)) })
					if d := e.in(2); d.has(2) {
						el.Verdict = verdict(d.in(2))
					} else {
						el.Data = d[1]
					}
					s.Elements = append(s.Elements, el)
				})
			})
		}
		dump(t, fd, 19, byte(x.Family), strAttr(1, x.Name), func(_ byte, a attrs) {
			o := &rules.Object{Name: a.str(2), Type: a.u32(3)}
			name := map[uint32]string{1: "counter", 2: "quota", 4: "limit", 10: "synproxy"}[o.Type]
			if name == "" {
				o.Expr = &rules.Opaque{Kind: "object", Data: a[4]}
			} else {
				o.Expr = decode(t, name, a.in(4))
			}
			x.Objects = append(x.Objects, o)
		})
		dump(t, fd, 23, byte(x.Family), strAttr(1, x.Name), func(_ byte, a attrs) {
			h := a.in(3)
			fl := &rules.Flowtable{Name: a.str(2), Priority: int32(h.u32(2)), Flags: a.u32(7)}
			each(h[3], func(b []byte) { fl.Devices = append(fl.Devices, strings.TrimRight(string(b), "\x00")) })
			x.Flowtables = append(x.Flowtables, fl)
		})
	}
}

// udata finds a string in nft's user data.
func udata(b []byte, want byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == want {
			return strings.TrimRight(string(b[2:2+int(b[1])]), "\x00")
		}
		b = b[2+int(b[1]):]
	}
	return ""
}

func verdict(a attrs) *rules.Verdict {
	code := int32(a.u32(1))
	return &rules.Verdict{Kind: rules.VerdictKind(code), Chain: a.str(2), Code: uint32(code)}
}

func expr(t *testing.T, b []byte) rules.Expr {
	a := parse(b)
	return decode(t, a.str(1), a.in(2))
}

func decode(t *testing.T, name string, a attrs) rules.Expr {
	switch name {
	case "immediate":
		i := &rules.Immediate{Dest: a.reg(1)}
		if d := a.in(2); d.has(2) {
			i.Verdict = verdict(d.in(2))
		} else {
			i.Data = d[1]
		}
		return i
	case "payload":
		p := &rules.Payload{Base: a.u32(2), Offset: a.u32(3), Len: a.u32(4)}
		if p.Write = a.has(5); p.Write {
			p.Reg = a.reg(5)
		} else {
			p.Reg = a.reg(1)
		}
		return p
	case "cmp":
		return &rules.Cmp{Source: a.reg(1), Op: a.u32(2), Data: a.data(3)}
	case "range":
		return &rules.Range{Source: a.reg(1), Op: a.u32(2), From: a.data(3), To: a.data(4)}
	case "bitwise":
		return &rules.Bitwise{Source: a.reg(1), Dest: a.reg(2), Len: a.u32(3), Mask: a.data(4), Xor: a.data(5), Op: a.u32(6), Data: a.data(7)}
	case "byteorder":
		return &rules.Byteorder{Source: a.reg(1), Dest: a.reg(2), Op: a.u32(3), Len: a.u32(4), Size: a.u32(5)}
	case "meta":
		if a.has(3) {
			return &rules.Meta{Key: a.u32(2), Write: true, Reg: a.reg(3)}
		}
		return &rules.Meta{Key: a.u32(2), Reg: a.reg(1)}
	case "ct":
		c := &rules.CT{Key: a.u32(2), Dir: -1}
		if a.has(3) {
			c.Dir = int8(a.u8(3))
		}
		if c.Write = a.has(4); c.Write {
			c.Reg = a.reg(4)
		} else {
			c.Reg = a.reg(1)
		}
		return c
	case "lookup":
		l := &rules.Lookup{Set: a.str(1), Source: a.reg(2), Invert: a.u32(5)&1 != 0, HasDest: a.has(3)}
		if l.HasDest && a.u32(3) != 0 {
			l.Dest = a.reg(3)
		}
		return l
	case "dynset":
		d := &rules.Dynset{Set: a.str(1), Op: a.u32(3), Key: a.reg(4), HasData: a.has(5), TimeoutMS: a.u64(6), Invert: a.u32(9)&1 != 0}
		if d.HasData {
			d.Data = a.reg(5)
		}
		if a.has(7) {
			d.Exprs = append(d.Exprs, expr(t, a[7]))
		}
		each(a[10], func(b []byte) { d.Exprs = append(d.Exprs, expr(t, b)) })
		return d
	case "exthdr":
		x := &rules.Exthdr{Type: a.u8(2), Offset: a.u32(3), Len: a.u32(4), Flags: a.u32(5), Op: a.u32(6)}
		switch {
		case a.has(7):
			x.Write, x.Reg = true, a.reg(7)
		case a.has(1):
			x.Reg = a.reg(1)
		default:
			x.Reset = true
		}
		return x
	case "fib":
		return &rules.Fib{Dest: a.reg(1), Result: a.u32(2), Flags: a.u32(3)}
	case "rt":
		return &rules.RT{Dest: a.reg(1), Key: a.u32(2)}
	case "socket":
		return &rules.Socket{Key: a.u32(1), Dest: a.reg(2), Level: a.u32(3)}
	case "osf":
		return &rules.OSF{Dest: a.reg(1), TTL: a.u8(2), Flags: a.u32(3)}
	case "hash":
		h := &rules.Hash{Dest: a.reg(2), Len: a.u32(3), Modulus: a.u32(4), Seed: a.u32(5), HasSeed: a.has(5), Offset: a.u32(6), Type: a.u32(7)}
		if a.has(1) {
			h.Source = a.reg(1)
		}
		return h
	case "numgen":
		return &rules.Numgen{Dest: a.reg(1), Modulus: a.u32(2), Type: a.u32(3), Offset: a.u32(4)}
	case "xfrm":
		return &rules.XFRM{Dest: a.reg(1), Key: a.u32(2), Dir: a.u8(3), SPNum: a.u32(4)}
	case "limit":
		return &rules.Limit{Rate: a.u64(1), Unit: a.u64(2), Burst: a.u32(3), Type: a.u32(4), Invert: a.u32(5)&1 != 0}
	case "quota":
		return &rules.Quota{Bytes: a.u64(1), Invert: a.u32(2)&1 != 0, Used: a.u64(4)}
	case "connlimit":
		return &rules.ConnLimit{Count: a.u32(1), Invert: a.u32(2)&1 != 0}
	case "counter":
		return &rules.Counter{Bytes: a.u64(1), Packets: a.u64(2)}
	case "log":
		return &rules.Log{Group: a.u16(1), HasGroup: a.has(1), Prefix: a.str(2), Snaplen: a.u32(3), Threshold: a.u16(4), Level: a.u32(5), LogFlags: a.u32(6)}
	case "notrack":
		return &rules.Notrack{}
	case "reject":
		return &rules.Reject{Type: a.u32(1), Code: a.u8(2)}
	case "nat":
		n := &rules.NAT{Type: a.u32(1), Family: rules.Family(a.u32(2)), HasAddrMin: a.has(3), HasAddrMax: a.has(4), HasProtoMin: a.has(5), HasProtoMax: a.has(6), Flags: a.u32(7)}
		set := func(k uint16, r *rules.Reg) {
			if a.has(k) {
				*r = a.reg(k)
			}
		}
		set(3, &n.AddrMin)
		set(4, &n.AddrMax)
		set(5, &n.ProtoMin)
		set(6, &n.ProtoMax)
		return n
	case "masq":
		m := &rules.Masq{Flags: a.u32(1), HasProtoMin: a.has(2), HasProtoMax: a.has(3)}
		if m.HasProtoMin {
			m.ProtoMin = a.reg(2)
		}
		if m.HasProtoMax {
			m.ProtoMax = a.reg(3)
		}
		return m
	case "redir":
		m := &rules.Redir{Flags: a.u32(3), HasProtoMin: a.has(1), HasProtoMax: a.has(2)}
		if m.HasProtoMin {
			m.ProtoMin = a.reg(1)
		}
		if m.HasProtoMax {
			m.ProtoMax = a.reg(2)
		}
		return m
	case "tproxy":
		p := &rules.TProxy{Family: rules.Family(a.u32(1)), HasAddr: a.has(2), HasPort: a.has(3)}
		if p.HasAddr {
			p.Addr = a.reg(2)
		}
		if p.HasPort {
			p.Port = a.reg(3)
		}
		return p
	case "synproxy":
		return &rules.Synproxy{MSS: a.u16(1), Wscale: a.u8(2), Flags: a.u32(3)}
	case "queue":
		q := &rules.QueueTo{Num: a.u16(1), Total: a.u16(2), Flags: a.u16(3), HasSource: a.has(4)}
		if q.HasSource {
			q.Source = a.reg(4)
		}
		return q
	case "dup":
		d := &rules.Dup{HasAddr: a.has(1), HasDev: a.has(2)}
		if d.HasAddr {
			d.Addr = a.reg(1)
		}
		if d.HasDev {
			d.Dev = a.reg(2)
		}
		return d
	case "fwd":
		f := &rules.Fwd{Dev: a.reg(1), HasAddr: a.has(2), Family: rules.Family(a.u32(3))}
		if f.HasAddr {
			f.Addr = a.reg(2)
		}
		return f
	case "flow_offload":
		return &rules.FlowOffload{Table: a.str(1)}
	case "objref":
		o := &rules.ObjRef{Type: a.u32(1), Object: a.str(2), Set: a.str(4)}
		if o.Set != "" {
			o.Source = a.reg(3)
		}
		return o
	case "match":
		return &rules.Match{Ext: a.str(1), Rev: uint8(a.u32(2)), Data: a[3]}
	case "target":
		return &rules.Target{Ext: a.str(1), Rev: uint8(a.u32(2)), Data: a[3]}
	}
	t.Errorf("no decoder for %s", name)
	return &rules.Opaque{Kind: name, Data: []byte(fmt.Sprint(a))}
}

// namespace makes a network namespace for a test, and says how to run in it.
func namespace(t testing.TB, name string) func(input string, args ...string) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to load rules into a namespace")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	exec.Command("ip", "netns", "del", name).Run()
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("no namespace can be made: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	return func(input string, args ...string) (string, error) {
		cmd := exec.Command("ip", append([]string{"netns", "exec", name}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}
