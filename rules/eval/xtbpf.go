package eval

import "encoding/binary"

// programMatchers are the matches that run a program.
var programMatchers = map[string][]matcher{
	"bpf": {{rev: 0, size: 516, run: matchBPF}, {rev: 1, size: 520, run: matchBPF}},
}

// instruction is struct sock_filter of linux/filter.h: one of classic BPF.
type instruction struct {
	code    uint16
	yes, no uint8
	k       uint32
}

// matchBPF is bpf_mt and bpf_mt_v1 of xt_bpf.c. A program in bytes is run here;
// of others the structure has only where the kernel finds them.
func matchBPF(x *probe) answer {
	count, at := 0, 4
	if x.rev == 1 {
		const inBytes = 0
		if count, at = 2, 8; x.arg16(0) != inBytes {
			return unsure("its program is not in the rule")
		}
	}
	n := min(int(x.arg16(count)), 64)
	program := make([]instruction, n)
	for i := range program {
		b := x.d[at+8*i:]
		program[i] = instruction{binary.NativeEndian.Uint16(b), b[2], b[3], binary.NativeEndian.Uint32(b[4:])}
	}
	v := x.runBPF(program)
	if v.why != "" {
		return unsure(v.why)
	}
	return holds(v.v != 0)
}

// Parts of an instruction's code (linux/bpf_common.h, linux/filter.h).
const (
	bpfLoad = iota
	bpfLoadX
	bpfStore
	bpfStoreX
	bpfALU
	bpfJump
	bpfReturn
	bpfMisc
)

// runBPF runs a program over the packet from its network header on
// (Documentation/networking/filter.rst). Jumps only lead forward, so it ends.
func (x *probe) runBPF(program []instruction) field {
	const notWellFormed = "its program is not well formed"
	var a, index uint32
	var memory [16]uint32
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		operand := i.k
		if i.code&8 != 0 {
			operand = index
		}
		switch i.code & 7 {
		case bpfLoad, bpfLoadX:
			v, outside := x.loadBPF(i, index, &memory)
			if outside {
				return known(0) // a load from beyond the packet ends the program
			}
			if v.why != "" {
				return v
			}
			if i.code&7 == bpfLoad {
				a = v.v
			} else {
				index = v.v
			}
		case bpfStore:
			memory[i.k%16] = a
		case bpfStoreX:
			memory[i.k%16] = index
		case bpfALU:
			v, ok := compute(i.code, a, operand)
			if !ok {
				return known(0) // a division by zero ends the program
			}
			a = v
		case bpfJump:
			pc += jumpBPF(i, a, operand)
		case bpfReturn:
			if i.code&0x18 == 0x10 {
				return known(a)
			}
			return known(i.k)
		case bpfMisc:
			if i.code&0xf8 == 0 {
				index = a
			} else {
				a = index
			}
		}
	}
	return field{why: notWellFormed}
}

// jumpBPF is how many instructions are passed over.
func jumpBPF(i instruction, a, operand uint32) int {
	is := false
	switch i.code & 0xf0 {
	case 0x00:
		return int(min(i.k, 64))
	case 0x10:
		is = a == operand
	case 0x20:
		is = a > operand
	case 0x30:
		is = a >= operand
	case 0x40:
		is = a&operand != 0
	}
	if is {
		return int(i.yes)
	}
	return int(i.no)
}

// compute is an operation of the ALU; false if it divides by zero.
func compute(code uint16, a, b uint32) (uint32, bool) {
	switch code & 0xf0 {
	case 0x00:
		return a + b, true
	case 0x10:
		return a - b, true
	case 0x20:
		return a * b, true
	case 0x30, 0x90:
		if b == 0 {
			return 0, false
		}
		if code&0xf0 == 0x90 {
			return a % b, true
		}
		return a / b, true
	case 0x40:
		return a | b, true
	case 0x50:
		return a & b, true
	case 0x60:
		return a << (b & 31), true
	case 0x70:
		return a >> (b & 31), true
	case 0x80:
		return -a, true
	case 0xa0:
		return a ^ b, true
	}
	return 0, false
}

// loadBPF is a load of any kind; it reports whether it reads beyond the packet.
func (x *probe) loadBPF(i instruction, index uint32, memory *[16]uint32) (v field, outside bool) {
	const immediate, absolute, indirect, cell, length, header = 0x00, 0x20, 0x40, 0x60, 0x80, 0xa0
	size := 4
	switch i.code & 0x18 {
	case 0x08:
		size = 2
	case 0x10:
		size = 1
	}
	at := int64(i.k)
	switch i.code & 0xe0 {
	case immediate:
		return known(i.k), false
	case cell:
		return known(memory[i.k%16]), false
	case length:
		return known(uint32(len(x.packet.Data))), false
	case header: // the length of an IPv4 header, for the index
		if at >= int64(len(x.packet.Data)) {
			return field{}, true
		}
		v = x.field(int(at), 1)
		v.v = v.v & 15 * 4
		return v, false
	case indirect:
		at = int64(i.k + index)
	case absolute:
	default:
		return field{why: "its program is not well formed"}, false
	}
	const network, special = int32(-0x100000), int32(-0x200000)
	switch signed := int32(uint32(at)); {
	case signed >= network && signed < network+0xff000:
		at = int64(signed - network)
	case signed < 0 && signed >= special:
		return field{why: "it asks for more than the packet's bytes"}, false
	case signed < 0:
		return field{}, true
	}
	if at+int64(size) > int64(len(x.packet.Data)) {
		return field{}, true
	}
	return x.field(int(at), size), false
}
