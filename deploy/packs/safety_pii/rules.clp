; Looks at every text that the rules see: each text field of the state (a field with `route: false`
; is hidden from rules, and from this pack), and each answer of a person. What is found is named by
; kind and field, never quoted.
;
; What then happens is this list: change it, and sign the pack again. It is a beginning, no
; guarantee: what counts as personal is the operator's to say.
;
;   halt       the run ends, before its next node
;   interrupt  a person decides; asked once the step is recorded
;   redact     the run goes to the graph's node `redact`, which overwrites the field
;   audit      one line in the audit log, and nothing else

(deftemplate pii-policy (slot kind) (slot action))

(deffacts policies
  (pii-policy (kind "card-number") (action "halt"))
  (pii-policy (kind "iban") (action "halt"))
  (pii-policy (kind "ssn") (action "halt"))
  (pii-policy (kind "email") (action "audit"))
  (pii-policy (kind "phone") (action "audit")))

(deftemplate pii-found (slot kind) (slot field))

; ---- texts

(deftemplate pii-text (slot field) (slot part) (slot text))

(defrule text-of-state
  (stargraph-text (field ?f) (part ?p) (value ?v))
  =>
  (assert (pii-text (field ?f) (part ?p) (text ?v))))

(defrule text-of-answer
  (stargraph-answer (key ?k) (value ?v))
  =>
  (assert (pii-text (field (str-cat "answer " ?k)) (part 1) (text ?v))))

(defrule text-of-evidence
  (stargraph.evidence (node ?n) (text ?v&:(neq ?v "")))
  =>
  (assert (pii-text (field (str-cat "evidence " ?n)) (part 1) (text ?v))))

; ---- patterns: a check digit where there is one

(defrule pii-card-number
  (pii-text (field ?f) (text ?t&:(has-card-number ?t)))
  =>
  (assert (pii-found (kind "card-number") (field ?f))))

(defrule pii-iban
  (pii-text (field ?f) (text ?t&:(has-iban ?t)))
  =>
  (assert (pii-found (kind "iban") (field ?f))))

; No area 000, 666 or 9xx, no group 00, no serial 0000: none of these was ever issued.
(defrule pii-ssn
  (pii-text (field ?f) (text ?t&:(fathom-matches ?t
    "(^|[^0-9-])(00[1-9]|0[1-9][0-9]|[1-57-8][0-9][0-9]|6[0-57-9][0-9]|66[0-57-9])-(0[1-9]|[1-9][0-9])-(000[1-9]|00[1-9][0-9]|0[1-9][0-9][0-9]|[1-9][0-9]{3})([^0-9-]|$)")))
  =>
  (assert (pii-found (kind "ssn") (field ?f))))

(defrule pii-email
  (pii-text (field ?f) (text ?t&:(fathom-matches ?t
    "[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*\\.[A-Za-z]{2,}")))
  =>
  (assert (pii-found (kind "email") (field ?f))))

; North American, and international with a plus.
(defrule pii-phone
  (pii-text (field ?f) (text ?t&:(or
    (fathom-matches ?t "(^|[^0-9])(\\([0-9]{3}\\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}([^0-9]|$)")
    (fathom-matches ?t "\\+[1-9][0-9]{0,2}([-. ]?[0-9]{2,4}){2,5}([^0-9]|$)"))))
  =>
  (assert (pii-found (kind "phone") (field ?f))))

; ---- what then

(defrule pii-halt
  (pii-found (kind ?k) (field ?f))
  (pii-policy (kind ?k) (action "halt"))
  =>
  (assert (bosun.violation
    (kind (str-cat "pii-" ?k)) (severity "halt") (reason (str-cat "personal data: " ?k " in " ?f)))))

(defrule pii-interrupt
  (pii-found (kind ?k) (field ?f))
  (pii-policy (kind ?k) (action "interrupt"))
  =>
  (assert (stargraph_action (kind interrupt) (prompt (str-cat "Personal data: " ?k " in " ?f ". Go on?")))))

(defrule pii-redact
  (pii-found (kind ?k) (field ?f))
  (pii-policy (kind ?k) (action "redact"))
  =>
  (assert (stargraph_action (kind goto) (target "redact") (reason (str-cat "personal data: " ?k " in " ?f)))))

(defrule pii-audit
  (pii-found (kind ?k) (field ?f))
  (pii-policy (kind ?k) (action ?a))
  =>
  (assert (bosun.audit (kind "pii") (detail (str-cat ?k " in " ?f ": " ?a)))))
