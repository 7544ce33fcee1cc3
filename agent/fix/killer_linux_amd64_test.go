package fix_test

import "golang.org/x/sys/unix"

// newfstatat has a name of its own on each architecture.
const newfstatat = unix.SYS_NEWFSTATAT
