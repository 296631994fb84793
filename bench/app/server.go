// The Feedback App's list and create on net/http and go-sqlite3, as one would write it.
package main

import (
	"database/sql"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	_ "github.com/mattn/go-sqlite3"
)

type feedback struct {
	ID        int64  `json:"id"`
	Message   string `json:"message"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

func answer(w http.ResponseWriter, status int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(what)
}

func refuse(w http.ResponseWriter, status int, what string) {
	answer(w, status, map[string]string{"error": what})
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func main() {
	db := must(sql.Open("sqlite3", "file:"+os.Getenv("DATABASE_PATH")+
		"?_journal_mode=WAL&_busy_timeout=5000&_synchronous="+os.Getenv("DATABASE_SYNC")))
	db.SetMaxOpenConns(1) // one writer at a time in any case; more of them wait for each other's locks
	must(db.Exec(`CREATE TABLE IF NOT EXISTS feedback(id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL)`))
	list := must(db.Prepare("SELECT id, message, created_at, updated_at FROM feedback ORDER BY id DESC LIMIT ?"))
	insert := must(db.Prepare("INSERT INTO feedback(message, created_at, updated_at) VALUES (?, ?, ?)"))
	http.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		var n int64
		if err := db.QueryRow("SELECT count(*) FROM feedback").Scan(&n); err != nil {
			refuse(w, 503, err.Error())
			return
		}
		answer(w, 200, map[string]any{"status": "healthy", "feedback_count": n})
	})
	http.HandleFunc("/feedback", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			limit := 100
			if asked := r.URL.Query().Get("limit"); asked != "" {
				n, err := strconv.Atoi(asked)
				if err != nil || n < 1 || n > 1000 {
					refuse(w, 400, "limit must be a number from 1 to 1000")
					return
				}
				limit = n
			}
			rows, err := list.Query(limit)
			if err != nil {
				refuse(w, 500, "Internal server error")
				return
			}
			defer rows.Close()
			all := make([]feedback, 0, limit)
			for rows.Next() {
				var f feedback
				if err := rows.Scan(&f.ID, &f.Message, &f.CreatedAt, &f.UpdatedAt); err != nil {
					refuse(w, 500, "Internal server error")
					return
				}
				all = append(all, f)
			}
			answer(w, 200, all)
		case http.MethodPost:
			var f feedback
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 65536)).Decode(&f); err != nil {
				refuse(w, 400, "Request body is not valid JSON")
				return
			}
			f.Message = strings.TrimSpace(f.Message)
			if f.Message == "" {
				refuse(w, 400, "Message field is required and cannot be empty")
				return
			}
			if utf8.RuneCountInString(f.Message) > 500 {
				refuse(w, 400, "Message cannot exceed 500 characters")
				return
			}
			f.CreatedAt = time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
			f.UpdatedAt = f.CreatedAt
			made, err := insert.Exec(f.Message, f.CreatedAt, f.UpdatedAt)
			if err != nil {
				refuse(w, 500, "Internal server error")
				return
			}
			f.ID, _ = made.LastInsertId()
			answer(w, 201, f)
		default:
			refuse(w, 405, "Method not allowed")
		}
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
