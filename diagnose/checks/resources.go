package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
)

var resources = &diagnose.Check{
	ID: "resources", Doc: "whether the host is out of file descriptors or of memory for TCP",
	Codes: []string{"fd-limit", "memory-pressure", "probe-rate-limited"},
	For:   diagnose.AskConnect, When: diagnose.Explain, Behind: true,
	Run: runResources,
}

func runResources(p *diagnose.Pass) error {
	f := p.Flow
	if o := f.Observed; f.Network == "unix" || o != nil && o.Outcome != diagnose.Timeout && o.Outcome != diagnose.Reset && o.Outcome != diagnose.Unknown {
		p.Skip("not how a want of resources shows")
		return nil
	}
	counters, err := p.Host.Counters(p.Ctx)
	if err != nil {
		return err
	}
	if limit := counters["File.max"]; limit > 0 && counters["File.allocated"] >= limit-limit/50 {
		p.Stop(diagnose.Cause{Code: "fd-limit", Outcome: diagnose.Timeout, Also: []diagnose.Outcome{diagnose.Unknown, diagnose.Reset},
			Culprit:  &diagnose.Culprit{Kind: "sysctl", Key: "fs.file-max", Value: fmt.Sprint(limit)},
			Evidence: []diagnose.Evidence{{Source: "/proc/sys/fs/file-nr", What: "open files of the system", Value: fmt.Sprintf("%d of %d", counters["File.allocated"], limit)}},
			Title:    fmt.Sprintf("The system is out of file descriptors (%d of %d): no process can accept.", counters["File.allocated"], limit)})
	}
	pressure := counters["Memory.tcp_pressure_pages"]
	if pages := counters["Sockstat.TCP.mem"]; pressure > 0 && pages >= pressure && f.Network == "tcp" {
		p.Stop(diagnose.Cause{Code: "memory-pressure", Outcome: diagnose.Timeout, Also: []diagnose.Outcome{diagnose.Reset},
			Culprit:  &diagnose.Culprit{Kind: "sysctl", Key: "net.ipv4.tcp_mem", Value: fmt.Sprint(pressure)},
			Evidence: []diagnose.Evidence{{Source: "/proc/net/sockstat", What: "pages that TCP uses", Value: fmt.Sprintf("%d, pressure from %d, limit %d", pages, pressure, counters["Memory.tcp_max_pages"])}},
			Doubt:    "pressure drops some connections and lets others pass", Ceiling: diagnose.Likely,
			Title: fmt.Sprintf("TCP uses %d pages of memory, above the pressure mark of %d (net.ipv4.tcp_mem): the kernel drops what is new.", pages, pressure)})
	}
	if f.Attempt != nil && f.Attempt.Moved["Icmp.OutRateLimitHost"]+f.Attempt.Moved["Icmp.OutRateLimitGlobal"] > 0 {
		p.Warn(diagnose.Finding{Code: "probe-rate-limited", Title: "this host held back ICMP errors during the probe (icmp_ratelimit): a rejection can look like silence"})
	}
	p.OK("enough of both")
	return nil
}
