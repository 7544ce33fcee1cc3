package xt

import "errors"

// ErrUnknown is what ParseMatch and ParseTarget return, wrapped, for an
// extension that this package doesn't know.
var ErrUnknown = errors.New("not supported")
