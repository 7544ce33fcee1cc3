package text_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nft"
)

func dump(t *testing.T, fd int, msg uint8, family byte, body []byte, f func(kind, family uint8, body []byte)) {
	t.Helper()
	req := make([]byte, 20, 20+len(body))
	binary.NativeEndian.PutUint16(req[4:], nft.Subsystem<<8|uint16(msg))
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
			f(uint8(m.Header.Type), m.Data[0], append([]byte(nil), m.Data[4:]...))
		}
	}
}

// live reads the whole ruleset of a namespace.
func live(t *testing.T, netns string) *rules.Ruleset {
	t.Helper()
	var out *rules.Ruleset
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
		out = read(t, fd)
	}()
	<-done
	return out
}

// read asks for everything and has rules/nft decode it.
func read(t *testing.T, fd int) *rules.Ruleset {
	d := nft.NewDecoder()
	take := func(kind, family uint8, body []byte) {
		if err := d.Message(kind, family, body); err != nil {
			t.Error(err)
		}
	}
	for _, kind := range []uint8{nft.GetTable, nft.GetChain, nft.GetRule, nft.GetSet, nft.GetObject, nft.GetFlowtable} {
		dump(t, fd, kind, 0, nil, take)
	}
	for _, table := range d.Tables() {
		for _, s := range table.Sets {
			dump(t, fd, nft.GetElements, byte(table.Family), nft.ElementsRequest(table.Name, s.Name), take)
			s.Known = true
		}
	}
	return d.Ruleset()
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
