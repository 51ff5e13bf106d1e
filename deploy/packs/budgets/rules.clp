; A graph says what a run may use, in facts that its first step asserts and the run carries:
;
;   rules:
;     - {id: limits, when: "", then: [
;         {kind: assert, fact: bosun.budget, slots: {kind: steps, allowed: 50}},
;         {kind: assert, fact: bosun.budget, slots: {kind: seconds, allowed: 60, warn: 45}}]}
;
; What is used up halts the run, before the next node. The engine itself counts steps, seconds (of
; the clock, since the run's start), tool_calls and tokens (what models said that they took; to them
; the state field tokens_used is added, where a graph has one). Any other kind is judged by what the
; fact itself says in `consumed`: assert it anew as it grows. From `warn` on, one line a step goes to
; the audit log.

(deftemplate bosun.budget
  (slot kind)
  (slot allowed)
  (slot consumed (default none))
  (slot warn (default none))
  (slot run_id (default "")))

(deftemplate tokens_used (slot value) (slot typed))

; What is used of each kind, measured or said.
(deftemplate budget-used (slot kind) (slot used))

(defrule measure-steps
  (stargraph-run (steps ?n))
  =>
  (assert (budget-used (kind "steps") (used ?n))))

(defrule measure-seconds
  (stargraph-run (elapsed_ms ?ms))
  =>
  (assert (budget-used (kind "seconds") (used (/ ?ms 1000)))))

(defrule measure-tool-calls
  (stargraph-run (tool_calls ?n))
  =>
  (assert (budget-used (kind "tool_calls") (used ?n))))

(defrule measure-tokens
  (stargraph-run (tokens ?n))
  (not (tokens_used))
  =>
  (assert (budget-used (kind "tokens") (used ?n))))

(defrule measure-tokens-and-field
  (stargraph-run (tokens ?n))
  (tokens_used (typed ?more))
  =>
  (assert (budget-used (kind "tokens") (used (+ ?n ?more)))))

; stargraph-run is new in each step, so that what is said is judged again in each.
(defrule take-consumed
  (stargraph-run)
  (bosun.budget (kind ?k) (consumed ?c&:(numberp ?c)))
  =>
  (assert (budget-used (kind ?k) (used ?c))))

; Nothing is left for a next step, so the run ends at the allowance, not one past it.
(defrule budget-exhausted
  (bosun.budget (kind ?k) (allowed ?a))
  (budget-used (kind ?k) (used ?u&:(>= ?u ?a)))
  =>
  (assert (bosun.violation
    (kind "budget-exhausted") (severity "halt")
    (reason (str-cat "budget of " ?k " used up: " ?u " of " ?a)))))

(defrule budget-nearly-used
  (bosun.budget (kind ?k) (allowed ?a) (warn ?w&:(numberp ?w)))
  (budget-used (kind ?k) (used ?u&:(and (>= ?u ?w) (< ?u ?a))))
  =>
  (assert (bosun.audit (kind "budget-warning") (detail (str-cat ?k ": " ?u " of " ?a)))))

; An allowance that nothing measures would never end anything.
(defrule budget-unmeasured
  (declare (salience -10))
  (stargraph-run)
  (bosun.budget (kind ?k))
  (not (budget-used (kind ?k)))
  =>
  (assert (bosun.violation
    (kind "budget-unmeasured") (severity "halt")
    (reason (str-cat "nothing measures the budget of " ?k
      ": say consumed")))))
