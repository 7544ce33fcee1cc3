package render

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/platform/host"
)

// maxCell bounds a cell of the table, in characters.
const maxCell = 40

// Listeners writes the list as a table, and below it what could not be seen.
// Where the width of the terminal is known, lines are cut to it.
func Listeners(l *listeners.List, o TextOptions) []byte {
	t := table{color: colors{o.Color}, room: o.Width}
	t.head = []string{"PROTO", "ADDRESS", "PROCESS", "PID", "USER", "UNIT/CONTAINER", "QUEUE", "REACH"}
	all := slices.ContainsFunc(l.Listeners, func(l listeners.Listener) bool { return l.State != "" })
	if all {
		t.head = append(t.head, "STATE", "PEER")
	}
	t.cells = make([]string, 0, len(l.Listeners)*len(t.head))
	for i := range l.Listeners {
		t.cells = listenerRow(t.cells, &l.Listeners[i], all)
	}
	return unseen(t.text(), l.Limits, o)
}

// unseen adds what could not be seen below a page.
func unseen(doc []byte, limits []host.Limit, o TextOptions) []byte {
	for i, limit := range limits {
		if i == 0 {
			doc = append(doc, '\n')
		}
		s := "Unseen " + limit.What + ": " + limit.Why
		if limit.Needs != "" {
			s += " (needs " + limit.Needs + ")"
		}
		width := cmp.Or(o.Width, defaultWidth)
		for _, line := range wrap(Escape(s), max(width, minWidth)) {
			doc = append(append(doc, line...), '\n')
		}
	}
	return doc
}

func listenerRow(cells []string, l *listeners.Listener, all bool) []string {
	address := Cut(l.Address, maxCell)
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	if l.Interface != "" {
		address += "%" + Cut(l.Interface, maxCell)
	}
	address += ":" + strconv.Itoa(int(l.Port))
	process, pid := "-", "-"
	if l.PID != nil {
		process, pid = Cut(l.Process, maxCell), strconv.Itoa(*l.PID)
	}
	if n := len(l.Shared); n > 0 {
		process += " +" + strconv.Itoa(n)
	}
	queue := strconv.FormatUint(uint64(l.Queue), 10)
	if l.Network == "tcp" && (l.State == "" || l.State == "LISTEN") {
		queue += "/" + strconv.FormatUint(uint64(l.Backlog), 10)
	}
	network := Cut(l.Network, maxCell)
	if l.V6Only {
		network += "6"
	}
	cells = append(cells, network, address, process, pid, Cut(cmp.Or(l.User, "-"), maxCell),
		Cut(cmp.Or(l.Container, l.Unit, "-"), maxCell), queue, Cut(string(l.Reach), maxCell))
	if all {
		peer := ""
		if l.RemotePort != 0 {
			peer = Cut(net.JoinHostPort(l.RemoteAddress, strconv.Itoa(int(l.RemotePort))), 2*maxCell)
		}
		cells = append(cells, Cut(string(l.State), maxCell), peer)
	}
	return cells
}

// table aligns cells that are escaped already.
type table struct {
	color colors
	room  int // 0: lines are not cut
	head  []string
	cells []string // row by row
}

func (t *table) text() []byte {
	n := len(t.head)
	width := make([]int, n)
	for i, h := range t.head {
		width[i] = columns(h)
	}
	for i, cell := range t.cells {
		width[i%n] = max(width[i%n], columns(cell))
	}
	total := 1
	for _, w := range width {
		total += w + 2
	}
	doc := make([]byte, 0, (len(t.cells)/n+1)*(total+8))
	doc = append(append(doc, t.color.bold(t.cut(string(line(nil, t.head, width))))...), '\n')
	for row := range slices.Chunk(t.cells, n) {
		if t.room > 0 {
			doc = append(append(doc, t.cut(string(line(nil, row, width)))...), '\n')
			continue
		}
		doc = append(line(doc, row, width), '\n')
	}
	return doc
}

func line(doc []byte, row []string, width []int) []byte {
	blanks := 0
	for i, cell := range row {
		if cell != "" {
			for range blanks {
				doc = append(doc, ' ')
			}
			doc = append(doc, cell...)
			blanks = 0
		}
		blanks += width[i] - columns(cell) + 2
	}
	return doc
}

// cut shortens a line to the terminal's width.
func (t *table) cut(s string) string {
	if t.room <= 0 || columns(s) <= t.room {
		return s
	}
	n := 0
	for i, r := range s {
		n += columns(string(r))
		if n >= t.room {
			return s[:i] + "…"
		}
	}
	return s
}
