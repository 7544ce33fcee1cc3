//go:build linux

package linux

import (
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

// ReadIPSets reads the sets of ipset(8) in this namespace, with the kernel's
// index of each and, unless there are more than 100,000, its entries. It doesn't
// make the kernel load its part of ipset: without that there are no sets. The
// error wraps [fs.ErrPermission] without CAP_NET_ADMIN.
func (h *Host) ReadIPSets(ctx context.Context) ([]*rules.IPSet, error) {
	c, err := h.nfnetlink(ipSet)
	if errors.Is(err, host.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ipsets: %w", err)
	}
	defer c.close()
	for range dumpTries {
		sets, err := c.ipsets(ctx)
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
		if r.kind != ipset.Subsystem<<8|ipset.CommandList || len(r.data) < nfgenSize {
			return nil, fmt.Errorf("%w: of kind %#x with %d bytes", errMalformed, r.kind, len(r.data))
		}
		if err := d.Message(r.data[nfgenSize:]); err != nil {
			return nil, err
		}
	}
	return d.Sets(), nil
}

// TestIPSet asks the kernel whether a set contains an entry, written as `ipset
// test` takes it.
func (h *Host) TestIPSet(ctx context.Context, set *rules.IPSet, entry string) (bool, error) {
	request, err := ipset.TestRequest(set, entry)
	if err != nil {
		return false, err
	}
	c, err := h.nfnetlink(ipSet)
	if err != nil {
		return false, fmt.Errorf("test ipset %s: %w", set.Name, err)
	}
	defer c.close()
	_, _, err = c.exchange(ctx, ipset.Subsystem<<8|ipset.CommandTest, unix.NLM_F_REQUEST|unix.NLM_F_ACK, request)
	if err == unix.Errno(ipset.NotInSet) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("test ipset %s: %w", set.Name, err)
	}
	return true, nil
}
