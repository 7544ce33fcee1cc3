//go:build !linux

package cli

// writeUnnamed is for systems that know files without a name.
func writeUnnamed(string, []byte) (done bool, err error) { return false, nil }
