; What sandbox-exec does with a profile, as far as our profiles go: a list of rules, of which the last
; that matches a question decides. Written from the documented meaning of the forms, knowing nothing
; of the code that writes profiles: a form that is not here is an error, and the test fails.
;
; Debian's tinyscheme 1.42 refuses every index ((string-ref "abc" 0) is an error), and with that all
; work on strings. So the test hands over each string of the profile, of the parameters and of the
; questions as the list of its bytes and an operation as the list of all patterns that
; name it. It puts (define params '((name . value) ...)) before the profile, and behind it questions:
; (ask '(file-read-data default f* fi* ...) '((path . bytes))), addresses as (host . port).

(define rules '()) ; the newest first
(define ip 'ip)

(define (version n) (if (not (= n 1)) (error "version" n)))

(define (list-prefix? start text)
  (or (null? start)
      (and (pair? text) (= (car start) (car text)) (list-prefix? (cdr start) (cdr text)))))
(define (same? a b) (and (list-prefix? a b) (list-prefix? b a)))
(define string-append append)

(define star '(42)) (define root '(47))
(define localhost '(108 111 99 97 108 104 111 115 116))

(define (attribute question name)
  (let ((found (assq name (cdr question)))) (and found (cdr found))))

(define (add-rule verdict items)
  (let loop ((items items) (operations '()) (filters '()))
    (cond ((null? items) (set! rules (cons (list verdict operations filters) rules)))
          ((symbol? (car items)) (loop (cdr items) (cons (car items) operations) filters))
          (else (loop (cdr items) operations (cons (eval (car items)) filters))))))

(macro (allow form) (list 'add-rule ''allow (list 'quote (cdr form))))
(macro (deny form) (list 'add-rule ''deny (list 'quote (cdr form))))

(define (param name)
  (let loop ((rest params))
    (cond ((null? rest) (error "no such parameter" name))
          ((same? (caar rest) name) (cdar rest))
          (else (loop (cdr rest))))))

; ---- filters: procedures from a question to a boolean

(define (literal text)
  (lambda (question) (let ((path (attribute question 'path))) (and path (same? path text)))))

(define (subpath text)
  (lambda (question)
    (let ((path (attribute question 'path)))
      (and path
           (or (same? text root) (same? path text)
               (list-prefix? (append text root) path))))))

(define (prefix text)
  (lambda (question) (let ((path (attribute question 'path))) (and path (list-prefix? text path)))))

(define (global-name text)
  (lambda (question) (let ((name (attribute question 'name))) (and name (same? name text)))))

(define (target whom) (lambda (question) (eq? (attribute question 'target) whom)))
(define same-sandbox 'same-sandbox)

(define (require-all . filters)
  (lambda (question) (let loop ((rest filters))
                       (or (null? rest) (and ((car rest) question) (loop (cdr rest)))))))
(define (require-any . filters)
  (lambda (question) (let loop ((rest filters))
                       (and (not (null? rest)) (or ((car rest) question) (loop (cdr rest)))))))
(define (require-not filter) (lambda (question) (not (filter question))))

; "host:port": the host is * or localhost, the port * or a number.
(define (split-address text)
  (let loop ((before (reverse text)) (after '()))
    (if (= (car before) 58)
        (cons (reverse (cdr before)) after)
        (loop (cdr before) (cons (car before) after)))))

(define (address-filter which family text)
  (let ((wanted (split-address text)))
    (if (not (eq? family 'ip)) (error "address family" family))
    (if (not (or (same? (car wanted) star) (same? (car wanted) localhost)))
        (error "a profile knows no host but * and localhost" text))
    (lambda (question)
      (let ((is (attribute question which)))
        (and is
             (or (same? (car wanted) star) (same? (car wanted) (car is)))
             (or (same? (cdr wanted) star) (same? (cdr wanted) (cdr is))))))))
(define (remote family text) (address-filter 'remote family text))
(define (local family text) (address-filter 'local family text))

; ---- regular expressions: ^ $ . [a-z] and x? x+ x*

(define (parse-class pattern) ; behind the [: (members . rest)
  (let loop ((pattern pattern) (members '()))
    (cond ((= (car pattern) 93) (cons members (cdr pattern)))
          ((and (pair? (cdr pattern)) (= (cadr pattern) 45))
           (loop (cdddr pattern) (cons (cons (car pattern) (caddr pattern)) members)))
          (else (loop (cdr pattern) (cons (cons (car pattern) (car pattern)) members))))))

(define (in-class? c members)
  (and (pair? members)
       (or (and (>= c (caar members)) (<= c (cdar members))) (in-class? c (cdr members)))))

(define (parse-one pattern) ; (test . rest)
  (let ((c (car pattern)))
    (cond ((= c 91) (let ((class (parse-class (cdr pattern))))
                      (cons (lambda (x) (in-class? x (car class))) (cdr class))))
          ((= c 46) (cons (lambda (x) #t) (cdr pattern)))
          ((memv c '(40 41 124 92 123)) (error "regex form not known here" c)) ; ( ) | \ {
          (else (cons (lambda (x) (= x c)) (cdr pattern))))))

(define (match-here pattern text)
  (cond ((null? pattern) #t)
        ((and (= (car pattern) 36) (null? (cdr pattern))) (null? text))
        (else
         (let* ((one (parse-one pattern)) (test (car one)) (rest (cdr one))
                (many (and (pair? rest) (memv (car rest) '(63 43 42)) (car rest))) ; ? + *
                (after (if many (cdr rest) rest))
                (hit? (lambda (text) (and (pair? text) (test (car text))))))
           (cond ((not many) (and (hit? text) (match-here after (cdr text))))
                 ((= many 63) (or (and (hit? text) (match-here after (cdr text)))
                                  (match-here after text)))
                 ((= many 43) (and (hit? text) (match-many test after (cdr text))))
                 (else (match-many test after text)))))))

(define (match-many test after text)
  (or (match-here after text)
      (and (pair? text) (test (car text)) (match-many test after (cdr text)))))

(define (regex pattern)
  (if (not (= (car pattern) 94)) (error "a pattern that is not anchored" pattern))
  (lambda (question)
    (let ((path (attribute question 'path))) (and path (match-here (cdr pattern) path)))))

; ---- questions

(define (any-names? patterns names)
  (and (pair? patterns) (or (memq (car patterns) names) (any-names? (cdr patterns) names))))

(define (rule-matches? rule question)
  (and (any-names? (cadr rule) (car question))
       (or (null? (caddr rule)) ((apply require-any (caddr rule)) question))))

(define (ask names attributes)
  (let loop ((rest rules))
    (cond ((null? rest) (error "nothing decides" names))
          ((rule-matches? (car rest) (cons names attributes))
           (display (caar rest)) (newline))
          (else (loop (cdr rest))))))
