// Package driver stands in for the reader's database driver, under the same name: SQLite, through sqlite.py.
package driver

import (
	"bufio"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
)

func init() { sql.Register("pgx", opener{}) }

type opener struct{}

func (opener) Open(path string) (driver.Conn, error) {
	program := exec.Command(os.Getenv("PYTHON"), os.Getenv("SQLITE"), path)
	in, err := program.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := program.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &conn{in, bufio.NewReader(out)}, program.Start()
}

type conn struct {
	in  io.WriteCloser
	out *bufio.Reader
}

type answer struct {
	Columns_ []string `json:"columns"`
	Rows     [][]any  `json:"rows"`
	Count    int64    `json:"count"`
	Error    string   `json:"error"`
}

func (c *conn) ask(sql string, arguments []driver.Value) (*answer, error) {
	if arguments == nil {
		arguments = []driver.Value{}
	}
	line, err := json.Marshal(map[string]any{"sql": sql, "arguments": arguments})
	if err != nil {
		return nil, err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	text, err := c.out.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	said := &answer{}
	if err := json.Unmarshal(text, said); err != nil {
		return nil, err
	}
	if said.Error != "" {
		return nil, errors.New(said.Error)
	}
	return said, nil
}

func (c *conn) Prepare(sql string) (driver.Stmt, error) { return stmt{c, sql}, nil }
func (c *conn) Close() error                            { return c.in.Close() }
func (c *conn) Begin() (driver.Tx, error) {
	_, err := c.ask("BEGIN IMMEDIATE", nil)
	return tx{c}, err
}

type tx struct{ conn *conn }

func (t tx) Commit() error   { _, err := t.conn.ask("COMMIT", nil); return err }
func (t tx) Rollback() error { _, err := t.conn.ask("ROLLBACK", nil); return err }

type stmt struct {
	conn *conn
	sql  string
}

func (s stmt) Close() error                                      { return nil }
func (s stmt) NumInput() int                                     { return -1 }
func (s stmt) Exec(values []driver.Value) (driver.Result, error) { return s.conn.ask(s.sql, values) }
func (s stmt) Query(values []driver.Value) (driver.Rows, error)  { return s.conn.ask(s.sql, values) }

func (a *answer) LastInsertId() (int64, error) { return 0, errors.New("not known") }
func (a *answer) RowsAffected() (int64, error) { return a.Count, nil }
func (a *answer) Columns() []string            { return a.Columns_ }
func (a *answer) Close() error                 { return nil }
func (a *answer) Next(into []driver.Value) error {
	if len(a.Rows) == 0 {
		return io.EOF
	}
	for i, value := range a.Rows[0] {
		into[i] = value
	}
	a.Rows = a.Rows[1:]
	return nil
}
