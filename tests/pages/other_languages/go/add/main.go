// Add does what it is told on standard input, one transaction a line, and prints the id of each event.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"log"
	"os"

	_ "example.org/scheduling/driver"
	"example.org/scheduling/outbox"
)

type told struct {
	Member string         `json:"member"`
	Data   map[string]any `json:"data"`
	Commit bool           `json:"commit"`
}

func main() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	lines := json.NewDecoder(os.Stdin)
	for lines.More() {
		var one told
		if err := lines.Decode(&one); err != nil {
			log.Fatal(err)
		}
		if err := do(db, one); err != nil {
			log.Fatal(err)
		}
	}
}

func do(db *sql.DB, one told) error {
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := outbox.Add(ctx, tx, "/scheduling", "care-plan.updated", one.Member, one.Data); err != nil {
		return err
	}
	if !one.Commit {
		return tx.Rollback()
	}
	return tx.Commit()
}
