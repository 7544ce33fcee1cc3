//go:build windows

package errno

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// name translates what Winsock calls differently. The pairs are those of
// "Windows Sockets Error Codes" (winsock2.h). WSAEACCES covers ports that are
// excluded or held exclusively.
func name(number syscall.Errno) string {
	return names[number]
}

var names = map[syscall.Errno]string{
	windows.WSAEINTR:                   "EINTR",
	windows.WSAEBADF:                   "EBADF",
	windows.WSAEACCES:                  "EACCES",
	windows.WSAEFAULT:                  "EFAULT",
	windows.WSAEINVAL:                  "EINVAL",
	windows.WSAEMFILE:                  "EMFILE",
	windows.WSAEWOULDBLOCK:             "EAGAIN",
	windows.WSAEINPROGRESS:             "EINPROGRESS",
	windows.WSAEALREADY:                "EALREADY",
	windows.WSAENOTSOCK:                "ENOTSOCK",
	windows.WSAEDESTADDRREQ:            "EDESTADDRREQ",
	windows.WSAEMSGSIZE:                "EMSGSIZE",
	windows.WSAEPROTOTYPE:              "EPROTOTYPE",
	windows.WSAENOPROTOOPT:             "ENOPROTOOPT",
	windows.WSAEPROTONOSUPPORT:         "EPROTONOSUPPORT",
	windows.WSAESOCKTNOSUPPORT:         "ESOCKTNOSUPPORT",
	windows.WSAEOPNOTSUPP:              "EOPNOTSUPP",
	windows.WSAEPFNOSUPPORT:            "EPFNOSUPPORT",
	windows.WSAEAFNOSUPPORT:            "EAFNOSUPPORT",
	windows.WSAEADDRINUSE:              "EADDRINUSE",
	windows.WSAEADDRNOTAVAIL:           "EADDRNOTAVAIL",
	windows.WSAENETDOWN:                "ENETDOWN",
	windows.WSAENETUNREACH:             "ENETUNREACH",
	windows.WSAENETRESET:               "ENETRESET",
	windows.WSAECONNABORTED:            "ECONNABORTED",
	windows.WSAECONNRESET:              "ECONNRESET",
	windows.WSAENOBUFS:                 "ENOBUFS",
	windows.WSAEISCONN:                 "EISCONN",
	windows.WSAENOTCONN:                "ENOTCONN",
	windows.WSAESHUTDOWN:               "EPIPE",
	windows.WSAETIMEDOUT:               "ETIMEDOUT",
	windows.WSAECONNREFUSED:            "ECONNREFUSED",
	windows.WSAENAMETOOLONG:            "ENAMETOOLONG",
	windows.WSAEHOSTDOWN:               "EHOSTDOWN",
	windows.WSAEHOSTUNREACH:            "EHOSTUNREACH",
	windows.ERROR_FILE_NOT_FOUND:       "ENOENT",
	windows.ERROR_PATH_NOT_FOUND:       "ENOENT",
	windows.ERROR_ACCESS_DENIED:        "EACCES",
	windows.ERROR_NETNAME_DELETED:      "ECONNRESET",
	windows.ERROR_BROKEN_PIPE:          "EPIPE",
	windows.ERROR_SEM_TIMEOUT:          "ETIMEDOUT",
	windows.ERROR_CONNECTION_REFUSED:   "ECONNREFUSED",
	windows.ERROR_CONNECTION_ABORTED:   "ECONNABORTED",
	windows.ERROR_NETWORK_UNREACHABLE:  "ENETUNREACH",
	windows.ERROR_HOST_UNREACHABLE:     "EHOSTUNREACH",
	windows.ERROR_PORT_UNREACHABLE:     "ECONNREFUSED",
	windows.ERROR_PROTOCOL_UNREACHABLE: "ENOPROTOOPT",
}
