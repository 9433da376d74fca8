module miqro

go 1.24
