//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nft"
)

// nfTables is the kernel's module of nftables.
const nfTables = "nf_tables"

// nftListMax is how many elements a set may have to be listed.
const nftListMax = 100_000

// ReadNFT reads the tables of nftables in this namespace, those of iptables-nft
// among them. Sets with more than 100,000 elements are not listed. It doesn't
// make the kernel load nftables: without that there are no tables. The error
// wraps [fs.ErrPermission] without CAP_NET_ADMIN.
func (h *Host) ReadNFT(ctx context.Context) (*rules.Ruleset, error) {
	c, err := h.nfnetlink(nfTables)
	if errors.Is(err, host.ErrUnsupported) {
		return &rules.Ruleset{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the rules of nftables: %w", err)
	}
	defer c.close()
	set, err := c.nftRuleset(ctx, func() (*netlinkConn, error) { return h.netlink(unix.NETLINK_NETFILTER) })
	if err != nil {
		return nil, fmt.Errorf("read the rules of nftables: %w", err)
	}
	return set, nil
}

// nftRuleset reads all tables. The lists are separate requests, so they fit
// together only if the generation of the rules is the same before and after.
// Open makes another connection.
func (c *netlinkConn) nftRuleset(ctx context.Context, open func() (*netlinkConn, error)) (*rules.Ruleset, error) {
	for range dumpTries {
		before, err := c.nftGeneration(ctx)
		if err == unix.EINVAL {
			return &rules.Ruleset{}, nil // nfnetlink without nf_tables
		}
		if err != nil {
			return nil, err
		}
		set, readErr := c.nftTables(ctx, open)
		after, err := c.nftGeneration(ctx)
		if err != nil {
			return nil, err
		}
		// What changed meanwhile may be what the error is about.
		if before == after && !errors.Is(readErr, errTableChanged) {
			return set, readErr
		}
	}
	return nil, errTableChanged
}

// nftGeneration asks for the number that each change of the rules raises.
func (c *netlinkConn) nftGeneration(ctx context.Context) (uint32, error) {
	replies, err := c.ask(ctx, nft.Subsystem<<8|nft.GetGeneration, nfgen(unix.NFPROTO_UNSPEC))
	if err != nil {
		return 0, err
	}
	for _, m := range replies {
		var r reader
		_, rest := r.header("nfgenmsg", m.data, nfgenSize)
		for kind, v := range r.attributes(rest) {
			if kind == unix.NFTA_GEN_ID {
				return r.big32("NFTA_GEN_ID", v), r.err
			}
		}
	}
	return 0, fmt.Errorf("%w: no generation", errMalformed)
}

// nfgen is a struct nfgenmsg.
func nfgen(family rules.Family) []byte { return []byte{byte(family), 0, 0, 0} }

func (c *netlinkConn) nftTables(ctx context.Context, open func() (*netlinkConn, error)) (*rules.Ruleset, error) {
	d := nft.NewDecoder()
	for _, kind := range []uint16{nft.GetTable, nft.GetChain, nft.GetRule, nft.GetSet, nft.GetObject, nft.GetFlowtable} {
		err := c.nftList(ctx, d, kind, nfgen(unix.NFPROTO_UNSPEC))
		if err == unix.EINVAL && (kind == nft.GetObject || kind == nft.GetFlowtable) {
			continue // a kernel before 4.10 or 4.16 has none
		}
		if err != nil {
			return nil, err
		}
	}
	for _, t := range d.Tables() {
		for _, s := range t.Sets {
			if large(s) {
				continue
			}
			if err := c.nftElements(ctx, d, t, s, open); err != nil {
				return nil, fmt.Errorf("set %s: %w", s.Name, err)
			}
		}
	}
	return d.Ruleset(), nil
}

// large tells whether a set is too large to list: by its count, which newer
// kernels tell, or else by the size that it may have.
func large(s *rules.Set) bool {
	if s.Count >= 0 {
		return s.Count > nftListMax
	}
	return s.Size > nftListMax
}

// errEnough says that a list is longer than is wanted.
var errEnough = errors.New("too many elements")

// nftElements lists a set's elements. Where the kernel doesn't say how many there
// are, the list is broken off when they are too many: that of a million takes a
// long time. A list that is broken off takes its connection with it.
func (c *netlinkConn) nftElements(ctx context.Context, d *nft.Decoder, t *rules.Table, s *rules.Set, open func() (*netlinkConn, error)) error {
	if s.Count < 0 {
		own, err := open()
		if err != nil {
			return err
		}
		defer own.close()
		c = own
	}
	request := append(nfgen(t.Family), nft.ElementsRequest(t.Name, s.Name)...)
	interrupted, err := c.each(ctx, nft.Subsystem<<8|nft.GetElements, request, func(r reply) error {
		if s.Elements.Len() > nftListMax {
			return errEnough
		}
		return nftMessage(d, r)
	})
	switch {
	case errors.Is(err, errEnough):
		s.Elements = rules.Elements{}
		return nil
	case interrupted:
		return errTableChanged
	}
	s.Known = err == nil
	return err
}

// nftList hands the answers to a request to the decoder. The error is
// errTableChanged if the kernel says that the rules changed meanwhile.
func (c *netlinkConn) nftList(ctx context.Context, d *nft.Decoder, kind uint16, request []byte) error {
	interrupted, err := c.each(ctx, nft.Subsystem<<8|kind, request, func(r reply) error { return nftMessage(d, r) })
	if interrupted {
		return errTableChanged
	}
	return err
}

func nftMessage(d *nft.Decoder, r reply) error {
	if r.kind>>8 != nft.Subsystem || len(r.data) < nfgenSize {
		return fmt.Errorf("%w: of kind %#x with %d bytes", errMalformed, r.kind, len(r.data))
	}
	return d.Message(uint8(r.kind), r.data[0], r.data[nfgenSize:])
}
