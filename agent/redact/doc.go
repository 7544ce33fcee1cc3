// Package redact takes out of a recording what tells whose host it is, so that
// it can be handed on and still be diagnosed to the same cause.
//
// A report is made from a recorded host. So the recording is what is redacted;
// the diagnosis is made again from what is left, and everything that is shown
// comes from there. There is no second place where a secret could slip through.
//
// # How
//
// A recording is gone through twice, value by value. The first time is for
// seeing: which secrets there are, which names, which ranges of addresses. The
// second replaces, each thing everywhere by the same: the password that was seen
// behind an option of one process is also replaced where a log line has it, in
// base64 or in a URL.
//
//   - Secrets are found by the name before them (--password, Authorization:,
//     requirepass), by their place in a URL, by their form (tokens of known
//     services, private keys) and by looking random; see secret.go, named.go,
//     argv.go, forms.go.
//   - Addresses are mapped by a keyed permutation of each family that keeps
//     prefixes, what an address is for, and every range and mask that occurs; see
//     tree.go, address.go. In a firewall's rules they are bytes whose meaning
//     depends on what was loaded into a register; see registers.go, track.go,
//     xtplaces.go, borders.go.
//   - Names become pseudonyms, by a keyed hash; see names.go. What each string of
//     a recording is stands in fields.go, and a string that isn't there is
//     treated as a text, which is looked through for everything.
//
// The key is drawn for each report and stored nowhere. Without it a pseudonym
// can't be undone by trying names or addresses out.
//
// What is kept, and what can't be found, is in README.md beside this file.
package redact
