// Package darwin answers the questions of package host on macOS. It connects
// and binds, lists TCP and UDP sockets and finds their processes; what it does
// not answer is [host.ErrUnsupported]. The parsers are built everywhere.
package darwin
