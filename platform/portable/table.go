package portable

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/portwhy/portwhy/platform/host"
)

// Entry is a row of a system's table of sockets. Where sockets have no number
// of their own, [Key] gives them one.
type Entry struct {
	Socket host.Socket
	PID    int // 0: not told
	FD     int // -1: not told
}

// Key numbers a socket by what distinguishes it from others. Several processes
// that hold the same socket, or share an address, come under one number.
func Key(s host.Socket) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s.Network + "\x00"))
	for _, a := range []interface{ MarshalBinary() ([]byte, error) }{s.Local, s.Remote} {
		b, _ := a.MarshalBinary() // it has no error
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(b))))
		h.Write(b)
	}
	// Zero would mean that no process holds it.
	return max(h.Sum64()>>1, 1)
}

// State translates the names that systems have for the states of TCP; a UDP
// socket has none.
func State(network, name string) host.State {
	switch name {
	case "LISTEN", "LISTENING":
		return host.Listen
	case "ESTABLISHED":
		return host.Estab
	case "SYN_SENT":
		return host.SynSent
	case "SYN_RCVD", "SYN_RECEIVED", "SYN_RECV":
		return host.SynRecv
	case "FIN_WAIT_1", "FIN_WAIT1":
		return host.FinWait1
	case "FIN_WAIT_2", "FIN_WAIT2":
		return host.FinWait2
	case "TIME_WAIT", "DELETE":
		return host.TimeWait
	case "CLOSE_WAIT":
		return host.CloseWait
	case "LAST_ACK":
		return host.LastAck
	case "CLOSING":
		return host.Closing
	case "CLOSED", "CLOSE", "BOUND":
		if network == "tcp" {
			return host.BoundInactive
		}
	}
	return host.Unconn
}

// Select picks the sockets that a query asks for, each once.
func Select(entries []Entry, q host.SocketQuery) []host.Socket {
	var list []host.Socket
	for _, e := range entries {
		if q.Match(e.Socket) {
			list = append(list, e.Socket)
		}
	}
	slices.SortStableFunc(list, func(a, b host.Socket) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return slices.CompactFunc(list, func(a, b host.Socket) bool {
		return a.Network == b.Network && a.Local == b.Local && a.Remote == b.Remote && a.State == b.State
	})
}

// HoldersOf lists who holds the sockets of a query. started tells when a
// process began, for [host.Holder.StartTicks].
func HoldersOf(ctx context.Context, entries []Entry, q host.HolderQuery, started func(context.Context, int) uint64) (host.Holders, error) {
	holders := host.Holders{BySocket: map[uint64][]host.Holder{}}
	ticks := map[int]uint64{}
	for _, e := range entries {
		if e.PID <= 0 || len(q.Inodes) > 0 && !slices.Contains(q.Inodes, e.Socket.Inode) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return host.Holders{}, err
		}
		start, known := ticks[e.PID]
		if !known {
			start = started(ctx, e.PID)
			ticks[e.PID] = start
		}
		holder := host.Holder{PID: e.PID, FD: e.FD, StartTicks: start}
		if !slices.Contains(holders.BySocket[e.Socket.Inode], holder) {
			holders.BySocket[e.Socket.Inode] = append(holders.BySocket[e.Socket.Inode], holder)
		}
	}
	for _, list := range holders.BySocket {
		slices.SortFunc(list, func(a, b host.Holder) int { return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.FD, b.FD)) })
	}
	return holders, nil
}
