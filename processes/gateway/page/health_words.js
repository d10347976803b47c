// The appliance's states in words.
//
// Owns: what a person reads for each status of /health, and where there is no answer.
// Refuses to know: who asks, and elements.

export const HEALTH_WORDS = {
  ok: "Ready",
  degraded: "Degraded",
  starting: "Starting",
  draining: "Draining",
  maintenance: "Maintenance",
  overloaded: "Overloaded",
  down: "Down",
  unreachable: "Unreachable",
};
