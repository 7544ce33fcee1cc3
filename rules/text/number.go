package text

import "github.com/portwhy/portwhy/rules/wide"

// num is a number as wide as a register's data.
type num = wide.Num
