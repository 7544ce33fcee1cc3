package checks

import "github.com/portwhy/portwhy/diagnose"

// bindChecks returns the stations of a bind in the order in which the kernel
// has them: socket(2), then bind(2) with the security module
// (security_socket_bind), the control group's programs, the address and the
// right to the port (__inet_bind, __inet6_bind), and last the port itself
// (inet_csk_get_port, udp_lib_get_port).
func bindChecks() []*diagnose.Check {
	return []*diagnose.Check{bindSocket, bindLSM, bindBPF, bindAddress, bindAddressAfter, bindConflict, bindLeftovers, bindPath, bindFile, bindRange}
}
