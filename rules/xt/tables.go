package xt

var (
	matches = table(transportMatches, conntrackMatches, markMatches, originMatches, rateMatches, setMatches,
		sctpMatches, historyMatches, headerMatches, fieldMatches, handoffMatches, amountMatches, contentMatches, timeMatches, hashMatches, rareMatches, policyMatches, header6Matches, programMatches)
	targets = table(markTargets, natTargets, verdictTargets, fieldTargets, handoffTargets, rareTargets, setTargets, hashTargets, programTargets)
)
