package check

import (
	"context"
	"sync"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// fewChecks is how many checks look for holders one by one: each search may end
// early, while a look at all descriptors of the host serves any number.
const fewChecks = 4

// share makes what many checks ask for be read once: who holds which socket, and
// which ports are bound by sockets that don't listen. All else that is the same
// question the host remembers already.
func share(h host.Host, checks int) host.Host {
	if checks <= fewChecks {
		return h
	}
	s := &shared{Host: h}
	s.read = sync.OnceValue(s.everyHolder)
	return s
}

// lookTime bounds the look at all descriptors of the host.
const lookTime = 30 * time.Second

type shared struct {
	host.Host
	read func() *holding
}

// holding is who held which socket. Known are the sockets that were there before
// the look began: of those, one that nobody is found to hold is held by nobody.
type holding struct {
	known map[uint64]bool
	held  host.Holders
}

// Sockets that are bound and don't listen are asked for with every port on which
// nobody listens, and the kernel looks through all of them each time.
func (s *shared) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	if q.Port == 0 || len(q.States) != 1 || q.States[0] != host.BoundInactive {
		return s.Host.Sockets(ctx, q)
	}
	all, err := s.Host.Sockets(ctx, host.SocketQuery{Network: q.Network, States: q.States})
	if err != nil {
		return s.Host.Sockets(ctx, q)
	}
	var found []host.Socket
	for _, k := range all {
		if q.Match(k) {
			found = append(found, k)
		}
	}
	return found, nil
}

// Holders is answered from the one look at all, for sockets that it has seen.
func (s *shared) Holders(ctx context.Context, q host.HolderQuery) (host.Holders, error) {
	if q.Names || q.Args || len(q.Inodes) == 0 || ctx.Err() != nil {
		return s.Host.Holders(ctx, q)
	}
	all := s.read()
	if all == nil {
		return s.Host.Holders(ctx, q)
	}
	answer := host.Holders{BySocket: map[uint64][]host.Holder{}, Unreadable: all.held.Unreadable}
	for _, inode := range q.Inodes {
		if !all.known[inode] {
			return s.Host.Holders(ctx, q)
		}
		if holders := all.held.BySocket[inode]; len(holders) > 0 {
			answer.BySocket[inode] = holders
		}
	}
	return answer, nil
}

// everyHolder looks at all descriptors. It belongs to the round and not to the
// check that happens to ask first, so that check's end does not end it. Nil: it
// can't be had.
func (s *shared) everyHolder() *holding {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	all := &holding{known: map[uint64]bool{}}
	for network, state := range map[string]host.State{"tcp": host.Listen, "udp": host.Unconn} {
		list, err := s.Host.Sockets(ctx, host.SocketQuery{Network: network, States: []host.State{state}})
		if err != nil {
			return nil
		}
		for _, k := range list {
			all.known[k.Inode] = true
		}
	}
	held, err := s.Host.Holders(ctx, host.HolderQuery{Every: true})
	if err != nil {
		return nil
	}
	all.held = held
	return all
}
