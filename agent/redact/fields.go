// Table: what each string in a recording is.

package redact

import (
	"reflect"
	"sync"
)

// class is what a string is, and so how it is replaced.
type class int

const (
	text          class = iota // anything: looked through for all that is known
	plainText                  // a word of ours or of the kernel: stays
	labelText                  // a name that may look random and is none: chains, sets, devices
	hostText                   // a host name or an address
	userText                   // a user's name or number
	containerText              // a container's name
	projectText                // a compose project
	serviceText                // a compose service
	imageText                  // an image, with registry and tag
	networkText                // a container network
	unitText                   // a unit of systemd
	netnsText                  // a network namespace's name
	subjectText                // a distinguished name of X.509
	pathText                   // a file's path
	cgroupText                 // a control group's path
	idText                     // a number that a program drew; it stays
	argvText                   // a command line, word by word
	commandText                // a command line as a text
	envText                    // the value of an environment variable
	macText                    // a link's address
	payloadText                // bytes that are sent
)

// classOf is what a field is. What the table doesn't have is a text: that is
// safe, and a test finds it.
func classOf(t reflect.Type, field string) class {
	return fields()[t.String()+"."+field]
}

var fields = sync.OnceValue(func() map[string]class {
	return map[string]class{
		"host.Address.Device": plainText, "host.Address.Scope": plainText,
		"host.Attempt.Accepted": plainText, "host.Attempt.Ended": plainText, "host.Attempt.Errno": plainText, "host.Attempt.SocketErrno": plainText,
		"host.BindAttempt.Errno": plainText, "host.BindAttempt.Plain": plainText, "host.BindAttempt.SocketErrno": plainText,
		"host.BindQuery.Network": plainText, "host.BindQuery.Path": pathText,
		"host.Cgroup.FrozenBy": cgroupText, "host.Cgroup.Path": cgroupText,
		"host.Claim.Address": hostText, "host.Claim.File": pathText, "host.Claim.Key": plainText, "host.Claim.Network": plainText, "host.Claim.Path": pathText,
		"host.Claim.Program": plainText, "host.Claim.Text": text, "host.Claim.Unit": unitText,
		"host.ConnectQuery.Name": hostText, "host.ConnectQuery.Network": plainText, "host.ConnectQuery.Path": pathText, "host.ConnectQuery.Payload": payloadText,
		"host.ConnectQuery.Speak": plainText, "host.ConnectQuery.URLPath": text,
		"host.Container.ComposeFile": pathText, "host.Container.Engine": plainText, "host.Container.ID": idText, "host.Container.Image": imageText,
		"host.Container.Mode": networkText, "host.Container.Name": containerText, "host.Container.Networks": networkText, "host.Container.Pid1": commandText,
		"host.Container.Project": projectText, "host.Container.Service": serviceText, "host.Container.State": plainText,
		"host.File.Path": pathText, "host.File.Text": text,
		"host.HostsLine.File": pathText, "host.HostsLine.Names": hostText,
		"host.IPSetQuery.Entry": text, "host.IPSetQuery.Name": labelText, "host.IPSetQuery.Type": plainText,
		"host.Info.Capabilities": plainText, "host.Info.Cgroup": cgroupText, "host.Info.Container": text, "host.Info.Distro": plainText, "host.Info.Hostname": hostText,
		"host.Info.Kernel": plainText, "host.Info.LSMs": plainText, "host.Info.Label": text, "host.Info.Lockdown": plainText, "host.Info.OS": plainText,
		"host.Info.SELinux": plainText,
		"host.Limit.Needs":  text, "host.Limit.What": text, "host.Limit.Why": text,
		"host.Link.Kind": plainText, "host.Link.MAC": macText, "host.Link.Name": plainText, "host.Link.PortState": plainText,
		"host.Namespace.Container": idText, "host.Namespace.Name": netnsText, "host.Namespace.Path": pathText, "host.Namespace.Process": text,
		"host.Neighbour.Device": plainText, "host.Neighbour.MAC": macText, "host.Neighbour.State": plainText,
		"host.NextHop.Device": plainText, "host.PortMapping.Network": plainText,
		"host.PathFact.Kind": plainText, "host.PathFact.Path": pathText,
		"host.Process.Args": argvText, "host.Process.Cgroup": cgroupText, "host.Process.Container": idText, "host.Process.Cwd": pathText, "host.Process.Env": envText,
		"host.Process.Exe": pathText, "host.Process.FrozenBy": cgroupText, "host.Process.Label": text, "host.Process.Name": text, "host.Process.State": plainText,
		"host.Process.Unit": unitText, "host.Process.User": userText, "host.Process.UserUnit": unitText, "host.Process.WaitChannel": plainText,
		"host.Program.Attach": plainText, "host.Program.Cgroup": cgroupText, "host.Program.Device": plainText, "host.Program.Name": text, "host.Program.Pinned": pathText,
		"host.Program.Tag": plainText, "host.Program.Type": plainText,
		"host.Qdisc.Device": plainText, "host.Qdisc.Handle": plainText, "host.Qdisc.Kind": plainText, "host.Qdisc.Parent": plainText,
		"host.Resolution.Canonical": hostText, "host.Resolution.Detail": text, "host.Resolution.Error": text, "host.Resolution.Name": hostText,
		"host.Resolution.Server": text, "host.Resolution.Source": plainText,
		"host.Resolver.ConfFile": pathText, "host.Resolver.HostsFile": pathText, "host.Resolver.HostsOrder": plainText, "host.Resolver.Proxy": envText,
		"host.Resolver.Search": hostText,
		"host.Route.Device":    plainText, "host.Route.Errno": plainText, "host.Route.Protocol": plainText, "host.Route.Scope": plainText, "host.Route.Type": plainText,
		"host.RouteQuery.InputDevice": plainText, "host.RouteQuery.OutDevice": plainText,
		"host.RouteRule.Action": plainText, "host.RouteRule.InputDevice": plainText, "host.RouteRule.OutDevice": plainText,
		"host.SetQuery.Key": text, "host.SetQuery.Set": labelText, "host.SetQuery.Table": labelText,
		"host.Socket.Device": plainText, "host.Socket.Network": plainText, "host.Socket.Path": pathText, "host.Socket.State": plainText,
		"host.SocketQuery.Network": plainText, "host.SocketQuery.Path": pathText, "host.SocketQuery.States": plainText,
		"host.Sysctl.Configured": text, "host.Sysctl.File": pathText, "host.Sysctl.Key": plainText, "host.Sysctl.Value": text,
		"host.TLS.Alert": text, "host.TLS.Issuer": subjectText, "host.TLS.Names": hostText, "host.TLS.Problem": text, "host.TLS.Subject": subjectText,
		"host.TLS.Version": plainText,
		"host.Talk.Asked":  plainText, "host.Talk.Banner": text, "host.Talk.Denied": text, "host.Talk.Errno": plainText, "host.Talk.Heard": plainText,
		"host.TrackQuery.Network": plainText, "host.Tracked.Network": plainText, "host.Tracked.State": plainText,
		"host.Transform.Action": plainText, "host.Transform.Direction": plainText,
		"host.Unit.ActiveState": plainText, "host.Unit.ControlGroup": cgroupText, "host.Unit.Description": text, "host.Unit.DropIns": pathText,
		"host.Unit.Enabled": plainText, "host.Unit.Environment": text, "host.Unit.ExecStart": argvText, "host.Unit.Families": plainText, "host.Unit.File": pathText,
		"host.Unit.IPAddressDeny": text, "host.Unit.LoadState": plainText, "host.Unit.Log": text, "host.Unit.Name": unitText, "host.Unit.Result": plainText,
		"host.Unit.SocketBind": plainText, "host.Unit.SubState": plainText, "host.Unit.TriggeredBy": unitText, "host.Unit.Triggers": unitText,
		"host.RealServer.Forward": plainText, "host.VirtualService.Network": plainText, "host.VirtualService.Scheduler": plainText,
		"host.UnitListen.File": pathText, "host.UnitListen.Network": plainText, "host.UnitListen.Path": pathText,

		"rules.Chain.Comment": text, "rules.Chain.Devices": plainText, "rules.Chain.Flags": plainText, "rules.Chain.Hook": plainText, "rules.Chain.Name": labelText,
		"rules.Chain.Policy": plainText, "rules.Chain.Type": plainText,
		"rules.Dynset.Set": labelText, "rules.Element.Comment": text, "rules.Element.Object": labelText, "rules.FlowOffload.Table": labelText,
		"rules.Flowtable.Devices": plainText, "rules.Flowtable.Name": labelText, "rules.Helper.Kind": plainText,
		"rules.IPSet.Name": labelText, "rules.IPSet.Options": text, "rules.IPSet.Type": plainText, "rules.IPSetElement.Entry": text, "rules.IPSetElement.Options": text,
		"rules.IPTables.In": plainText, "rules.IPTables.Out": plainText,
		"rules.Log.Prefix": text, "rules.Lookup.Set": labelText, "rules.Match.Ext": plainText, "rules.Match.Sets": labelText, "rules.ObjRef.Object": labelText,
		"rules.ObjRef.Set": labelText, "rules.Object.Comment": text, "rules.Object.Name": labelText, "rules.Opaque.Kind": plainText, "rules.Opaque.Why": text,
		"rules.About.Comment": text, "rules.About.File": pathText, "rules.Rule.Text": text, "rules.Secmark.Context": text,
		"rules.Set.Comment": text, "rules.Set.Name": labelText, "rules.Table.Backend": plainText, "rules.Table.Comment": text, "rules.Table.Flags": plainText,
		"rules.Table.Name": labelText, "rules.Table.SetDoubts": text, "rules.Target.Ext": plainText, "rules.Target.Sets": labelText, "rules.Verdict.Chain": labelText,
	}
})
