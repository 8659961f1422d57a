package ledger

// Phases are all phases, in the order in which help and errors list them: those of a call first.
var Phases = []Phase{
	PhaseRequested, PhaseAnswered, PhasePrepared, PhaseSent, PhaseSettled, PhaseAbandoned, PhaseResolved,
	PhaseRead, PhaseRejected, PhaseDropped, PhaseStopped, PhaseResumed, PhaseErased, PhasePruned,
	PhaseLogin, PhaseLogout, PhaseTaken, PhaseIssued, PhaseRevoked, PhaseRemoved,
}
