// Command portwhy tells why a connection is refused, hangs or can't be bound.
package main

import (
	"context"
	"os"

	"github.com/portwhy/portwhy/agent/cli"
	"github.com/portwhy/portwhy/platform"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	if status, child := platform.Child(os.Args); child {
		os.Exit(status)
	}
	os.Exit(cli.New(version).Run(context.Background(), os.Args[1:]))
}
