// Package firewall asks the firewall's model about this host: what becomes of a
// packet, and which rules there are. It puts the host's facts before the
// evaluator, and the answers into the documents that portwhy writes.
package firewall
