package xt

var (
	matches = table(transportMatches, conntrackMatches, markMatches, originMatches, rateMatches, setMatches,
		sctpMatches, historyMatches, headerMatches)
	targets = table(markTargets, natTargets, verdictTargets)
)
