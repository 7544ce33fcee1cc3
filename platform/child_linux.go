package platform

import "github.com/portwhy/portwhy/platform/linux"

// Child does the work of a process that an adapter started to act as another
// user, if this process is one: args are the whole os.Args. main calls it
// before anything else, and exits with status if it is handled.
func Child(args []string) (status int, handled bool) { return linux.BindChild(args) }
