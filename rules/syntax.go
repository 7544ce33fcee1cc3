package rules

import "fmt"

// SyntaxError is where a text that was read is not what it should be. Message
// says what was expected. Line and Column count from 1, Column in bytes.
type SyntaxError struct {
	File         string
	Line, Column int
	Message      string
}

// Error is file:line:column: message.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}
