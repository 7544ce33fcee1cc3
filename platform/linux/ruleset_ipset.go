//go:build linux

package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
)

// ipsetListMax is how many entries a set may have to be listed. Of a larger one
// single entries are asked for, with [Host.TestIPSet].
const ipsetListMax = 100_000

// nfgenSize is the size of struct nfgenmsg.
const nfgenSize = 4

// errIPSetGone means that a set was destroyed while it was read.
var errIPSetGone = errors.New("a set was destroyed")

// IPSets reads the sets of ipset(8) in this namespace, with the kernel's index of
// each and, unless there are more than 100,000, its entries. The error wraps
// [fs.ErrPermission] without CAP_NET_ADMIN.
func (h *Host) IPSets(ctx context.Context) ([]*rules.IPSet, error) {
	return h.ipsetList(ctx, (*netlinkConn).ipsets)
}

// ipsetList lists the sets. It doesn't make the kernel load its part of ipset:
// without that there are none.
func (h *Host) ipsetList(ctx context.Context, list func(*netlinkConn, context.Context) ([]*rules.IPSet, error)) ([]*rules.IPSet, error) {
	c, err := h.nfnetlink(ipSet)
	if errors.Is(err, host.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ipsets: %w", err)
	}
	defer c.close()
	for range dumpTries {
		sets, err := list(c, ctx)
		if errors.Is(err, errIPSetGone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read ipsets: %w", err)
		}
		return sets, nil
	}
	return nil, fmt.Errorf("read ipsets: %w", errTableChanged)
}

// ipsetHeads lists the sets without a look at what is in them.
func (c *netlinkConn) ipsetHeads(ctx context.Context) ([]*rules.IPSet, error) {
	named, err := c.dump(ctx, ipset.Subsystem<<8|ipset.CommandList, ipset.NamesRequest())
	if err == unix.EINVAL {
		return nil, nil // nfnetlink without ip_set
	}
	if err != nil {
		return nil, err
	}
	var sets []*rules.IPSet
	for _, r := range named {
		body, err := ipsetBody(r)
		if err != nil {
			return nil, err
		}
		set, err := ipset.Named(body)
		if err != nil {
			return nil, err
		}
		for _, command := range []uint16{ipset.CommandHeader, ipset.CommandByName} {
			if err := c.describeIPSet(ctx, set, command); err != nil {
				return nil, err
			}
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// describeIPSet asks about a set by its name.
func (c *netlinkConn) describeIPSet(ctx context.Context, set *rules.IPSet, command uint16) error {
	told, err := c.ask(ctx, ipset.Subsystem<<8|command, ipset.NameRequest(set.Name))
	if err == unix.ENOENT {
		return errIPSetGone
	}
	for _, r := range told {
		body, wrong := ipsetBody(r)
		if err = cmp.Or(err, wrong); err == nil {
			err = ipset.Describe(set, body)
		}
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", set.Name, err)
	}
	return nil
}

// ipsetBody is what a message has behind its head.
func ipsetBody(r reply) ([]byte, error) {
	if r.kind>>8 != ipset.Subsystem || len(r.data) < nfgenSize {
		return nil, fmt.Errorf("%w: of kind %#x with %d bytes", errMalformed, r.kind, len(r.data))
	}
	return r.data[nfgenSize:], nil
}

// ipsets lists all sets, then the entries of those that are not too large.
func (c *netlinkConn) ipsets(ctx context.Context) ([]*rules.IPSet, error) {
	sets, err := c.listIPSets(ctx, "", false)
	if err == unix.EINVAL {
		return nil, nil // nfnetlink without ip_set
	}
	if err != nil {
		return nil, err
	}
	for i, set := range sets {
		if n, err := strconv.Atoi(set.Options[ipset.Entries]); err == nil && n > ipsetListMax {
			continue
		}
		one, err := c.listIPSets(ctx, set.Name, true)
		if err == unix.ENOENT || err == nil && (len(one) != 1 || one[0].Index != set.Index) {
			return nil, errIPSetGone
		}
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", set.Name, err)
		}
		sets[i] = one[0]
		sets[i].Known = true
		delete(sets[i].Options, ipset.Entries)
	}
	return sets, nil
}

func (c *netlinkConn) listIPSets(ctx context.Context, name string, entries bool) ([]*rules.IPSet, error) {
	replies, err := c.dump(ctx, ipset.Subsystem<<8|ipset.CommandList, ipset.ListRequest(name, entries))
	if err != nil {
		return nil, err
	}
	var d ipset.Decoder
	for _, r := range replies {
		body, err := ipsetBody(r)
		if err != nil {
			return nil, err
		}
		if err := d.Message(body); err != nil {
			return nil, err
		}
	}
	return d.Sets(), nil
}

// TestIPSet asks the kernel whether a set contains an entry, written as `ipset
// test` takes it. With lasting the error is [host.ErrTimesOut] if it does, and the
// set's entries may time out.
func (h *Host) TestIPSet(ctx context.Context, set *rules.IPSet, entry string, lasting bool) (bool, error) {
	c, err := h.nfnetlink(ipSet)
	if err != nil {
		return false, fmt.Errorf("test ipset %s: %w", set.Name, err)
	}
	defer c.close()
	found, err := c.testIPSet(ctx, set, entry, false)
	if found && lasting {
		if timed, wrong := c.testIPSet(ctx, set, entry, true); timed || wrong != nil {
			found, err = false, cmp.Or(wrong, host.ErrTimesOut)
		}
	}
	if err != nil {
		return false, fmt.Errorf("test ipset %s: %w", set.Name, err)
	}
	return found, nil
}

func (c *netlinkConn) testIPSet(ctx context.Context, set *rules.IPSet, entry string, timeout bool) (bool, error) {
	request, err := ipset.TestRequest(set, entry, timeout)
	if err != nil {
		return false, err
	}
	_, _, err = c.exchange(ctx, ipset.Subsystem<<8|ipset.CommandTest, unix.NLM_F_REQUEST|unix.NLM_F_ACK, request)
	if err == unix.Errno(ipset.NotInSet) {
		return false, nil
	}
	return err == nil, err
}
