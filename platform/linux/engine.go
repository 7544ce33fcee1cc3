//go:build linux

package linux

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

const maxPortMappings = 1024

// engineContainer is the part of GET /containers/ID/json that matters here;
// Docker's API 1.24 and later, and Podman's API of that kind, have it.
type engineContainer struct {
	ID      string `json:"Id"`
	Name    string
	Created time.Time
	Path    string
	Args    []string
	State   struct {
		Status    string
		ExitCode  int
		OOMKilled bool
		Pid       int
	}
	HostConfig struct {
		NetworkMode  string
		PortBindings enginePorts
	}
	Config struct {
		Image        string
		Labels       map[string]string
		ExposedPorts map[string]struct{}
	}
	NetworkSettings struct {
		Ports    enginePorts
		Networks map[string]struct {
			NetworkID         string
			IPAddress         string
			GlobalIPv6Address string
		}
	}
}

// enginePorts maps "80/tcp" to where it is published.
type enginePorts map[string][]struct{ HostIp, HostPort string }

// engineNetwork is an element of GET /networks.
type engineNetwork struct {
	ID       string `json:"Id"`
	Name     string
	Internal bool
}

// parseContainer reads one container; internal holds the names and ids of
// networks that lead nowhere else.
func parseContainer(engine string, data []byte, internal map[string]bool) (host.Container, error) {
	var e engineContainer
	if err := json.Unmarshal(data, &e); err != nil {
		return host.Container{}, fmt.Errorf("read a container of %s: %w", engine, err)
	}
	if e.ID == "" {
		return host.Container{}, fmt.Errorf("read a container of %s: it has no id", engine)
	}
	labels := e.Config.Labels
	label := func(names ...string) string {
		for _, name := range names {
			if value := labels[name]; value != "" {
				return clean(value, 1024)
			}
		}
		return ""
	}
	c := host.Container{
		ID:          clean(e.ID, 128),
		Name:        clean(strings.TrimPrefix(e.Name, "/"), 255),
		Image:       clean(e.Config.Image, 512),
		Engine:      engine,
		State:       clean(e.State.Status, 32),
		Exit:        e.State.ExitCode,
		PID:         max(e.State.Pid, 0),
		Mode:        clean(e.HostConfig.NetworkMode, 255),
		Project:     label("com.docker.compose.project", "io.podman.compose.project"),
		Service:     label("com.docker.compose.service", "io.podman.compose.service"),
		ComposeFile: label("com.docker.compose.project.config_files"),
		Pid1:        clean(strings.Join(append([]string{e.Path}, e.Args...), " "), 500),
		Created:     e.Created,
		OOMKilled:   e.State.OOMKilled,
	}
	if c.Mode == "default" {
		c.Mode = "bridge"
	}
	inside := 0
	for name, network := range e.NetworkSettings.Networks {
		if len(c.Networks) == 64 {
			break
		}
		c.Networks = append(c.Networks, clean(name, 255))
		if internal[name] || internal[network.NetworkID] {
			inside++
		}
		for _, text := range []string{network.IPAddress, network.GlobalIPv6Address} {
			if address, err := netip.ParseAddr(text); err == nil {
				c.Address = append(c.Address, address)
			}
		}
	}
	sort.Strings(c.Networks)
	sort.Slice(c.Address, func(i, j int) bool { return c.Address[i].Less(c.Address[j]) })
	c.Internal = inside > 0 && inside == len(c.Networks)

	published := e.NetworkSettings.Ports
	if !published.any() {
		// A container that does not run has its ports promised all the same.
		published = e.HostConfig.PortBindings
	}
	c.Ports = published.mappings()
	for key := range e.Config.ExposedPorts {
		if network, port, ok := containerPort(key); ok && len(published[key]) == 0 && len(c.Exposed) < maxPortMappings {
			c.Exposed = append(c.Exposed, host.PortMapping{Network: network, Container: port})
		}
	}
	sortMappings(c.Exposed)
	return c, nil
}

// any reports whether anything is published.
func (p enginePorts) any() bool {
	for _, bindings := range p {
		if len(bindings) > 0 {
			return true
		}
	}
	return false
}

// mappings lists what is published. No host address stands for all of IPv4, the
// engine's own default; a port that the engine is still to choose is 0.
func (p enginePorts) mappings() []host.PortMapping {
	var list []host.PortMapping
	for key, bindings := range p {
		network, inside, ok := containerPort(key)
		for _, b := range bindings {
			if !ok || len(list) == maxPortMappings {
				break
			}
			address := netip.IPv4Unspecified()
			if b.HostIp != "" {
				parsed, err := netip.ParseAddr(b.HostIp)
				if err != nil {
					continue
				}
				address = parsed
			}
			number := uint64(0)
			if b.HostPort != "" {
				var err error
				if number, err = strconv.ParseUint(b.HostPort, 10, 16); err != nil {
					number = 0 // a range, from which the engine chooses
				}
			}
			list = append(list, host.PortMapping{Network: network, Host: netip.AddrPortFrom(address, uint16(number)), Container: inside})
		}
	}
	sortMappings(list)
	return list
}

// containerPort reads 80/tcp. SCTP is not looked at.
func containerPort(s string) (network string, port uint16, ok bool) {
	digits, network, found := strings.Cut(s, "/")
	if !found {
		network = "tcp"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return network, uint16(n), err == nil && n != 0 && (network == "tcp" || network == "udp")
}

func sortMappings(list []host.PortMapping) {
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		switch {
		case a.Container != b.Container:
			return a.Container < b.Container
		case a.Network != b.Network:
			return a.Network < b.Network
		}
		return a.Host.Compare(b.Host) < 0
	})
}

// parseNetworks returns the names and ids of the internal networks.
func parseNetworks(data []byte) (map[string]bool, error) {
	var list []engineNetwork
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read networks: %w", err)
	}
	internal := map[string]bool{}
	for _, n := range list {
		if n.Internal {
			internal[n.ID], internal[n.Name] = true, true
		}
	}
	return internal, nil
}

func clean(s string, max int) string { return host.Clean([]byte(s), max) }
