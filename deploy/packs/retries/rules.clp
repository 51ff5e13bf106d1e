; A node that could not do its work says so in the state field error_class and leaves it empty when
; it could. By the class the node is tried again after a pause that doubles, at most so many times
; as the policy says; the engine counts how often it has run in a row. The pause is
; durable: it survives a restart. After the last try, and for a class that no policy names, the run
; halts: an error never passes as a result.
;
; A rule of the graph may assert (stargraph.error (node) (class) (attempt) (reason)) instead, where
; the attempt is counted otherwise.
;
; The policy is this list: change it, and sign the pack again.

(deftemplate retry-policy (slot class) (slot tries) (slot first_ms) (slot most_ms))

(deffacts policies
  (retry-policy (class "timeout") (tries 5) (first_ms 2000) (most_ms 60000))
  (retry-policy (class "unavailable") (tries 5) (first_ms 2000) (most_ms 60000))
  (retry-policy (class "rate-limit") (tries 6) (first_ms 5000) (most_ms 300000))
  (retry-policy (class "conflict") (tries 3) (first_ms 500) (most_ms 5000)))

(deftemplate error_class (slot value) (slot typed))

(deftemplate stargraph.error
  (slot node) (slot class) (slot attempt (default 1)) (slot reason (default "")))

; One failed try, wherever it came from.
(deftemplate failed-try (slot node) (slot class) (slot attempt))

(defrule error-in-state
  (stargraph-run (node ?n) (in_a_row ?v))
  (error_class (value ?c&:(neq ?c "")))
  =>
  (assert (failed-try (node ?n) (class ?c) (attempt ?v))))

(defrule error-asserted
  (stargraph.error (node ?n) (class ?c) (attempt ?a))
  =>
  (assert (failed-try (node ?n) (class ?c) (attempt ?a))))

(defrule retry-on-recoverable
  (failed-try (node ?n) (class ?c) (attempt ?a))
  (retry-policy (class ?c) (tries ?t&:(< ?a ?t)) (first_ms ?first) (most_ms ?most))
  =>
  (bind ?pause (integer (min ?most (* ?first (** 2 (- ?a 1))))))
  (assert (stargraph_action (kind retry) (target ?n) (backoff_ms ?pause)))
  (assert (bosun.audit (kind "retry")
    (detail (str-cat ?n " after " ?c ", try " ?a " of " ?t ", in " ?pause " ms")))))

(defrule retry-exhausted
  (failed-try (node ?n) (class ?c) (attempt ?a))
  (retry-policy (class ?c) (tries ?t&:(>= ?a ?t)))
  =>
  (assert (bosun.violation
    (kind "retry-exhausted") (severity "halt")
    (reason (str-cat ?n ": still " ?c " after " ?a " tries")))))

(defrule error-is-final
  (failed-try (node ?n) (class ?c))
  (not (retry-policy (class ?c)))
  =>
  (assert (bosun.violation
    (kind "error-not-retried") (severity "halt")
    (reason (str-cat ?n ": " ?c " is not retried")))))
