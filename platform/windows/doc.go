// Package windows answers the questions of package host on Windows. It connects
// and binds, lists TCP and UDP sockets with their processes, and knows the port
// ranges that the system excludes; what it does not answer is
// [host.ErrUnsupported]. The parser is built everywhere.
package windows
