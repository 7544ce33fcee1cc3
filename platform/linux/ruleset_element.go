//go:build linux

package linux

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nft"
)

// SetElement asks for the element of a set or map that a key falls on
// (NFT_MSG_GETSETELEM without a dump); nil if there is none. The error wraps
// [fs.ErrPermission] without CAP_NET_ADMIN.
func (h *Host) SetElement(ctx context.Context, q host.SetQuery) (*rules.Element, error) {
	c, err := h.nfnetlink(nfTables)
	if err != nil {
		return nil, fmt.Errorf("ask set %s for an element: %w", q.Set, err)
	}
	defer c.close()
	found, err := c.setElement(ctx, q)
	if err == nil && found == nil {
		q.Key = nil // the catch-all matches where nothing else does
		found, err = c.setElement(ctx, q)
	}
	if err != nil {
		return nil, fmt.Errorf("ask set %s for an element: %w", q.Set, err)
	}
	return found, nil
}

func (c *netlinkConn) setElement(ctx context.Context, q host.SetQuery) (*rules.Element, error) {
	request := append(nfgen(q.Family), nft.ElementRequest(q.Table, q.Set, q.Key)...)
	replies, err := c.ask(ctx, nft.Subsystem<<8|nft.GetElements, request)
	if err == unix.ENOENT || err == unix.EINVAL && q.Key == nil {
		return nil, nil // kernels before 5.13 have no catch-all
	}
	if err != nil {
		return nil, err
	}
	for _, r := range replies {
		if r.kind == nft.Subsystem<<8|nft.NewElements && len(r.data) >= nfgenSize {
			return nft.Element(r.data[nfgenSize:])
		}
	}
	return nil, fmt.Errorf("%w: no element", errMalformed)
}
