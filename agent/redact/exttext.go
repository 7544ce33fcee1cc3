package redact

import "bytes"

// textPlace is a text in a kernel structure, ended by a zero unless its length
// is at a place of its own.
type textPlace struct {
	at, room int
	length   int // where the length is; 0 for none
	class    class
}

// textPlaces are those of iptables' extensions: structures of
// linux/netfilter/xt_*.h.
func textPlaces(ext string, size int) (textPlace, bool) {
	switch ext {
	case "comment":
		return textPlace{at: 0, room: 256}, true
	case "LOG":
		return textPlace{at: 2, room: 30}, true
	case "NFLOG":
		return textPlace{at: 12, room: 64}, true
	case "string":
		return textPlace{at: 20, room: 128, length: 148}, true
	case "recent":
		return textPlace{at: 10, room: 200, class: labelText}, true
	case "cgroup":
		return textPlace{at: 4, room: min(4096, size/2), class: cgroupText}, size > 16
	}
	return textPlace{}, false
}

// extension goes through the texts in a kernel structure.
func (w *walker) extension(ext string, data []byte) {
	if p, ok := textPlaces(ext, len(data)); ok && p.at+p.room <= len(data) {
		w.textIn(p, data)
		return
	}
	const least = 6
	for i := 0; i < len(data); {
		end := i
		for end < len(data) && data[end] >= ' ' && data[end] < 0x7f {
			end++
		}
		if end-i >= least {
			w.textIn(textPlace{at: i, room: end - i, length: -1, class: labelText}, data)
		}
		i = end + 1
	}
}

func (w *walker) textIn(p textPlace, data []byte) {
	field := data[p.at : p.at+p.room]
	old, _, _ := bytes.Cut(field, []byte{0})
	most := p.room - 1
	switch {
	case p.length < 0:
		most = p.room
	case p.length > 0 && p.length < len(data):
		old = field[:min(int(data[p.length]), p.room)]
		most = p.room
	}
	if len(old) == 0 {
		return
	}
	if w.mode == seeing {
		w.see(p.class, string(old))
		return
	}
	changed := w.change(p.class, string(old))
	if changed == string(old) {
		return
	}
	changed = changed[:min(len(changed), most)]
	clear(field)
	copy(field, changed)
	if p.length > 0 && p.length < len(data) {
		data[p.length] = byte(len(changed))
	}
}
