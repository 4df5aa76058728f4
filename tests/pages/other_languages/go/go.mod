module example.org/scheduling

go 1.22
