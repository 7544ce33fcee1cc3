//go:build linux

package linux

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

const (
	maxConfigFile  = 1 << 20 // bytes
	maxConfigFiles = 2000
	maxClaims      = 20000
)

// mainFiles is where the programs look when nothing else is said. A pattern may
// name several.
var mainFiles = []struct {
	kind config.Kind
	path string
}{
	{config.KindNginx, "/etc/nginx/nginx.conf"},
	{config.KindNginx, "/usr/local/nginx/conf/nginx.conf"},
	{config.KindApache, "/etc/apache2/apache2.conf"},
	{config.KindApache, "/etc/httpd/conf/httpd.conf"},
	{config.KindSSH, "/etc/ssh/sshd_config"},
	{config.KindPostgreSQL, "/etc/postgresql/*/*/postgresql.conf"},
	{config.KindPostgreSQL, "/var/lib/pgsql/data/postgresql.conf"},
	{config.KindPostgreSQL, "/var/lib/pgsql/*/data/postgresql.conf"},
	{config.KindPostgreSQL, "/var/lib/postgres/data/postgresql.conf"},
	{config.KindPostgreSQL, "/var/lib/postgresql/data/postgresql.conf"},
	{config.KindRedis, "/etc/redis.conf"},
	{config.KindRedis, "/etc/redis/*.conf"},
	{config.KindValkey, "/etc/valkey/*.conf"},
	{config.KindMySQL, "/etc/mysql/my.cnf"},
	{config.KindMySQL, "/etc/my.cnf"},
	{config.KindHAProxy, "/etc/haproxy/*.cfg"},
	{config.KindSquid, "/etc/squid/squid.conf"},
	{config.KindMemcached, "/etc/memcached.conf"},
	{config.KindDnsmasq, "/etc/dnsmasq.conf"},
}

// Claims lists the ports that configuration files on this host name: those in
// the usual places, and those that units and running processes name on their
// command lines.
func (h *Host) Claims(ctx context.Context) (host.Claims, error) {
	return readClaims(ctx, "", "/proc")
}

// configTree reads configuration files below a root directory, within bounds
// that hold for all of them together.
type configTree struct {
	root string

	mu     sync.Mutex
	count  int
	denied int
	first  string // the first file that was denied
	full   bool
}

// mainFile is one file to read, and for which unit.
type mainFile struct {
	kind config.Kind
	path string
	unit string
}

func readClaims(ctx context.Context, root, proc string) (host.Claims, error) {
	t := &configTree{root: root}
	var wg sync.WaitGroup
	var running []mainFile
	wg.Go(func() { running = processFiles(ctx, proc) })
	units := t.units(ctx)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return host.Claims{}, fmt.Errorf("read configuration files: %w", err)
	}

	var mains []mainFile
	seen := map[string]bool{}
	add := func(m mainFile) {
		if !seen[m.path] {
			seen[m.path] = true
			mains = append(mains, m)
		}
	}
	for _, m := range units.mains {
		add(m)
	}
	for _, m := range mainFiles {
		for _, path := range t.glob(m.path) {
			add(mainFile{kind: m.kind, path: path})
		}
	}
	for _, m := range running {
		add(m)
	}
	lists := make([][]host.Claim, len(mains)+1)
	parallel(len(lists), func(i int) {
		if ctx.Err() != nil {
			return
		}
		if i == len(mains) {
			lists[i] = t.unusedSites()
			return
		}
		m := mains[i]
		if file, ok := t.read(m.path); ok {
			lists[i] = config.Read(m.kind, file, t.reader, m.unit)
		}
	})
	result := host.Claims{List: units.claims}
	reached := map[string]bool{}
	for i, list := range lists {
		for _, claim := range list {
			// A site that is included is read from where it is linked.
			if i == len(mains) && reached[filepath.Base(claim.File)+claim.Text] {
				continue
			}
			reached[filepath.Base(claim.File)+claim.Text] = true
			result.List = append(result.List, claim)
		}
	}
	if len(result.List) > maxClaims {
		result.List, t.full = result.List[:maxClaims], true
	}
	sort.SliceStable(result.List, func(i, j int) bool {
		a, b := result.List[i], result.List[j]
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line
	})
	result.Limits = t.limits()
	return result, ctx.Err()
}

func (t *configTree) limits() []host.Limit {
	var limits []host.Limit
	if t.denied > 0 {
		limits = append(limits, host.Limit{
			What:  fmt.Sprintf("ports named in %d configuration files, the first is %s", t.denied, host.Clean([]byte(t.first), 200)),
			Why:   "permission denied",
			Needs: "root",
		})
	}
	if t.full {
		limits = append(limits, host.Limit{
			What:  "ports named in further configuration files",
			Why:   fmt.Sprintf("more than %d files or %d ports", maxConfigFiles, maxClaims),
			Needs: "a look at the files themselves",
		})
	}
	return limits
}

// unusedSites reads the sites of nginx and Apache that are there but not
// enabled.
func (t *configTree) unusedSites() []host.Claim {
	var claims []host.Claim
	for _, file := range t.reader("/etc/nginx/sites-available/*") {
		claims = append(claims, config.NginxSite(file)...)
	}
	for _, pattern := range []string{"/etc/apache2/sites-available/*.conf", "/etc/apache2/conf-available/*.conf"} {
		for _, file := range t.reader(pattern) {
			claims = append(claims, config.ApacheSite(file)...)
		}
	}
	return claims
}

// reader is a config.Reader.
func (t *configTree) reader(pattern string) []config.File {
	var files []config.File
	for _, path := range t.glob(pattern) {
		if file, ok := t.read(path); ok {
			files = append(files, file)
		}
	}
	return files
}

// glob returns the paths, without the root, that a pattern names.
func (t *configTree) glob(pattern string) []string {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}
	}
	// The only errors are of the pattern: it then names nothing.
	paths, _ := filepath.Glob(t.root + pattern)
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], t.root)
	}
	if len(paths) > maxConfigFiles {
		paths = paths[:maxConfigFiles]
	}
	return paths
}

// read reads a regular file that is not too big. Anything else is not opened:
// to open a FIFO or a device does something.
func (t *configTree) read(path string) (config.File, bool) {
	t.mu.Lock()
	t.count++
	full := t.count > maxConfigFiles
	t.full = t.full || full
	t.mu.Unlock()
	if full {
		return config.File{}, false
	}
	data, modified, err := readRegular(t.root+path, maxConfigFile)
	if os.IsPermission(err) {
		t.mu.Lock()
		t.denied++
		if t.first == "" || path < t.first {
			t.first = path
		}
		t.mu.Unlock()
	}
	return config.File{Path: path, Data: data, Modified: modified}, err == nil
}

// readRegular reads a regular file of at most max bytes.
func readRegular(path string, max int) ([]byte, time.Time, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, time.Time{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > int64(max) {
		return nil, time.Time{}, &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, time.Time{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	// It may have been exchanged since.
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, time.Time{}, &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	// A size of 0 is that of files in /proc, which may block: nothing is read.
	data := make([]byte, min(st.Size, int64(max)))
	read := 0
	for read < len(data) {
		n, err := unix.Read(fd, data[read:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, time.Time{}, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		read += n
	}
	return data[:read], time.Unix(st.Mtim.Unix()), nil
}

// processFiles finds the configuration files that running servers name on
// their command lines. Only processes with this mount namespace count: for
// others the path means another file.
func processFiles(ctx context.Context, proc string) []mainFile {
	dir, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	names = slices.DeleteFunc(names, func(name string) bool { return name[0] < '1' || name[0] > '9' })
	own, err := os.Readlink(filepath.Join(proc, "self/ns/mnt"))
	if err != nil {
		return nil
	}
	fd := int(dir.Fd())
	var mu sync.Mutex
	var found []mainFile
	parallel(len(names), func(i int) {
		if ctx.Err() != nil {
			return
		}
		kind, path := config.MainFile(commandLine(fd, names[i]+"/cmdline"))
		if path == "" {
			return
		}
		process := filepath.Join(proc, names[i])
		if ns, err := os.Readlink(filepath.Join(process, "ns/mnt")); err != nil || ns != own {
			return
		}
		if !filepath.IsAbs(path) {
			cwd, err := os.Readlink(filepath.Join(process, "cwd"))
			if err != nil {
				return
			}
			path = filepath.Join(cwd, path)
		}
		mu.Lock()
		found = append(found, mainFile{kind: kind, path: filepath.Clean(path)})
		mu.Unlock()
	})
	sort.Slice(found, func(i, j int) bool { return found[i].path < found[j].path })
	return found
}

// commandLine reads the start of a process's arguments, from a path below an
// open directory. Most processes are no servers that this package knows, so
// that little is done before that is clear.
func commandLine(dir int, path string) []string {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var buffer [4096]byte
	n, err := unix.Read(fd, buffer[:])
	if n <= 0 || err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(buffer[:n]), "\x00"), "\x00")
}

// parallel calls f for 0 … n-1 on as many goroutines as there are processors.
func parallel(n int, f func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
