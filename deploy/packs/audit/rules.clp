; Every bosun.audit fact becomes a line of the audit log (type bosun_audit), signed and chained like
; all others. This pack asserts one for each node that ran, each tool call, each artifact written and
; each answer of a person.
;
; And it holds the rule behind a log worth reading: who writes, says why. Before a node that writes
; (the list below) the state field `reason` must hold a text of at least ten characters; else the run
; ends before the node, not after it.

(deftemplate audit-writes (slot kind))

(deffacts kinds-that-write
  (audit-writes (kind "write_artifact"))
  (audit-writes (kind "remember"))
  (audit-writes (kind "assert_facts"))
  (audit-writes (kind "tool")))

(deftemplate reason (slot value) (slot typed))

; ---- what happened

(defrule audit-node-run
  (stargraph-run (node ?n) (kind ?k) (steps ?s))
  =>
  (assert (bosun.audit (kind "node_run") (detail (str-cat ?n " (" ?k "), step " ?s)))))

(defrule audit-tool-call
  (stargraph-run (node ?n) (kind "tool") (tool_calls ?c))
  =>
  (assert (bosun.audit (kind "tool_call") (detail (str-cat ?n ", call " ?c " of the run")))))

(defrule audit-write
  (stargraph-run (node ?n) (kind ?k&"write_artifact"|"remember"|"assert_facts"))
  (reason (value ?r))
  =>
  (assert (bosun.audit (kind "write") (detail (str-cat ?n " (" ?k "): " ?r)))))

(defrule audit-answer
  (stargraph-evidence (node ?n) (_source ?who&:(neq ?who "")))
  =>
  (assert (bosun.audit (kind "respond") (detail (str-cat ?n ": " ?who)))))

; ---- who writes, says why

(deftemplate reason-given (slot text))
(deftemplate goes-to (slot node))

(defrule reason-is-given
  (declare (salience 10))
  (reason (value ?r&:(>= (str-length ?r) 10)))
  =>
  (assert (reason-given (text ?r))))

; Where the run goes next: what a rule says, else the next node in file order.
(defrule next-by-rule
  (stargraph_action (kind goto|retry) (target ?t&:(neq ?t "")))
  =>
  (assert (goes-to (node ?t))))

(defrule next-in-file
  (declare (salience -10))
  (stargraph-run (next ?t&:(neq ?t "")))
  (not (goes-to))
  (not (stargraph_action (kind halt|parallel)))
  =>
  (assert (goes-to (node ?t))))

; A parallel block is entered by its first target.
(defrule write-without-reason
  (declare (salience -5))
  (goes-to (node ?t))
  (stargraph-node (id ?n) (kind ?k) (entry ?t))
  (audit-writes (kind ?k))
  (not (reason-given))
  =>
  (assert (bosun.violation
    (kind "write-without-reason") (severity "halt")
    (reason (str-cat ?n " (" ?k ") would write, and the state field reason does not say why")))))

; Which nodes a rule's own parallel action runs cannot be seen here: any that writes counts.
(defrule parallel-without-reason
  (declare (salience -5))
  (stargraph_action (kind parallel))
  (exists (stargraph-node (kind ?k)) (audit-writes (kind ?k)))
  (not (reason-given))
  =>
  (assert (bosun.violation
    (kind "write-without-reason") (severity "halt")
    (reason "a parallel may write, and the state field reason does not say why"))))
